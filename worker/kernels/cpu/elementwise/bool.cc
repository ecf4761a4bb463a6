// Bools: a sum is "or", a product "and", as in NumPy.
#include "worker/kernels/cpu/elementwise/loop_templates.h"

namespace tegula::cpu {
namespace {

constexpr BoolByte truth(BoolByte a) { return a != 0; }

struct Or {
  static BoolByte apply(BoolByte a, BoolByte b) { return truth(a | b); }
};
struct And {
  static BoolByte apply(BoolByte a, BoolByte b) { return truth(a) & truth(b); }
};
struct Xor {
  static BoolByte apply(BoolByte a, BoolByte b) { return truth(a) ^ truth(b); }
};
struct Xnor {
  static BoolByte apply(BoolByte a, BoolByte b) { return truth(a) == truth(b); }
};
struct Less {
  static BoolByte apply(BoolByte a, BoolByte b) { return truth(a) < truth(b); }
};
struct LessEqual {
  static BoolByte apply(BoolByte a, BoolByte b) { return truth(a) <= truth(b); }
};
struct Greater {
  static BoolByte apply(BoolByte a, BoolByte b) { return truth(a) > truth(b); }
};
struct GreaterEqual {
  static BoolByte apply(BoolByte a, BoolByte b) { return truth(a) >= truth(b); }
};
struct Same {
  static BoolByte apply(BoolByte a) { return truth(a); }
};
struct Not {
  static BoolByte apply(BoolByte a) { return a == 0; }
};
struct False {
  static BoolByte apply(BoolByte) { return 0; }
};
struct True {
  static BoolByte apply(BoolByte) { return 1; }
};

}  // namespace

Loop find_bool_loop(Op op, unsigned scalars) {
  using B = BoolByte;
  switch (op) {
    case Op::kAbsolute:
    case Op::kReal:
      return unary<Same, B>();
    case Op::kLogicalNot:
    case Op::kInvert:
      return unary<Not, B>();
    case Op::kImag:
    case Op::kIsnan:
    case Op::kIsinf:
      return unary<False, B>();
    case Op::kIsfinite:
      return unary<True, B>();
    case Op::kAdd:
    case Op::kMaximum:
    case Op::kFmax:
    case Op::kLogicalOr:
    case Op::kBitwiseOr:
      return binary<Or, B>(scalars);
    case Op::kMultiply:
    case Op::kMinimum:
    case Op::kFmin:
    case Op::kLogicalAnd:
    case Op::kBitwiseAnd:
      return binary<And, B>(scalars);
    case Op::kNotEqual:
    case Op::kLogicalXor:
    case Op::kBitwiseXor:
      return binary<Xor, B>(scalars);
    case Op::kEqual:
      return binary<Xnor, B>(scalars);
    case Op::kLess:
      return binary<Less, B>(scalars);
    case Op::kLessEqual:
      return binary<LessEqual, B>(scalars);
    case Op::kGreater:
      return binary<Greater, B>(scalars);
    case Op::kGreaterEqual:
      return binary<GreaterEqual, B>(scalars);
    default:
      return nullptr;
  }
}

}  // namespace tegula::cpu
