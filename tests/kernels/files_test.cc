// Kernels that move bytes: assemble, from_bytes, and the two that read and write .npy files.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>

#include "src/npy.h"
#include "tests/kernels/harness.h"

namespace tegula::test {
namespace {

using Random = std::mt19937_64;
std::int64_t below(Random& random, std::int64_t n) {
  return static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(n));
}

TestArray counting(DType dtype, const Shape& shape) {
  TestArray array = TestArray::zeros(dtype, shape);
  const auto bytes = static_cast<std::size_t>(array.size()) * item_size(dtype);
  for (std::size_t i = 0; i < bytes; ++i) array.data[i] = static_cast<std::byte>(i * 131 + i / 251);
  return array;
}

// A directory that goes when the test does.
class Files : public testing::Test {
 protected:
  Files() {
    std::string name = (std::filesystem::temp_directory_path() / "tegula-kernels-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("no temporary directory");
    directory_ = name;
  }
  ~Files() override { std::filesystem::remove_all(directory_); }
  std::string path(const std::string& name) const { return directory_ / name; }
  static void write(const std::string& path, const Bytes& bytes) {
    std::ofstream(path, std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  static Bytes read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(file)), {});
    const auto* first = reinterpret_cast<const std::byte*>(text.data());
    return {first, first + text.size()};
  }

 private:
  std::filesystem::path directory_;
};

// The code that a run ends with, and its message.
struct Outcome {
  int code = TEGULA_OK;
  std::string message;
};
template <typename F>
Outcome outcome_of(F&& f) {
  try {
    f();
  } catch (const KernelFailure& failure) {
    return {failure.code, failure.what()};
  }
  return {};
}

// ---- tegula.assemble ----

TEST(Assemble, PiecesBecomeTheBlock) {
  Random random(1);
  for (int round = 0; round < 300; ++round) {
    const int ndim = static_cast<int>(below(random, 4));
    Shape shape;
    for (int d = 0; d < ndim; ++d) shape.push_back(1 + below(random, 12));
    const DType dtype = static_cast<DType>(below(random, kDTypeCount));
    const TestArray whole_array = counting(dtype, shape);
    // Cut along each dimension; a piece may be empty.
    std::vector<std::vector<std::int64_t>> cuts;
    TestTask task;
    TestInput input;
    for (const auto extent : shape) {
      std::vector<std::int64_t> at = {0, extent};
      for (auto more = below(random, 3); more > 0; --more) at.push_back(below(random, extent + 1));
      std::sort(at.begin(), at.end());
      input.grid.push_back(std::ssize(at) - 1);
      cuts.push_back(at);
    }
    Shape position(shape.size());
    for (std::int64_t i = 0; i < element_count(input.grid); ++i) {
      unravel(i, input.grid, position);
      TestArray piece = whole_array;
      for (std::size_t d = 0; d < shape.size(); ++d) {
        const auto k = static_cast<std::size_t>(position[d]);
        piece = piece.slice(static_cast<int>(d), cuts[d][k], cuts[d][k + 1] - cuts[d][k], 1);
      }
      std::vector<int> order(shape.size());
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), random);
      input.pieces.push_back(round % 2 == 0 ? piece : piece.laid_out(order, random() % 8, 1, 1));
    }
    if (ndim == 0) input.grid = {1};
    task.inputs = {input};
    task.declared = {{dtype, shape, {}}};
    EXPECT_EQ(Library::best().run_one("tegula.assemble", {}, task).bytes(), whole_array.bytes()) << to_string(shape);
  }
}

TEST(Assemble, RefusesPiecesWithGaps) {
  TestTask task;
  task.declared = {{DType::kInt32, {4, 6}, {}}};
  const auto code = [&](std::vector<Shape> shapes, std::vector<std::int64_t> grid, DType dtype = DType::kInt32) {
    TestInput input;
    for (const Shape& shape : shapes) input.pieces.push_back(TestArray::zeros(dtype, shape));
    input.grid = std::move(grid);
    task.inputs = {input};
    return outcome_of([&] { Library::best().run("tegula.assemble", {}, task); }).code;
  };
  EXPECT_EQ(code({{4, 2}, {4, 4}}, {1, 2}), TEGULA_OK);
  EXPECT_EQ(code({{4, 2}, {4, 3}}, {1, 2}), TEGULA_ESHAPE);
  EXPECT_EQ(code({{4, 2}, {3, 4}}, {1, 2}), TEGULA_ESHAPE);
  EXPECT_EQ(code({{4, 3}, {4, 4}}, {1, 2}), TEGULA_ESHAPE);
  EXPECT_EQ(code({{4, 6}}, {1, 1}, DType::kInt64), TEGULA_EDTYPE);
}

// ---- tegula.from_bytes ----

TEST(FromBytes, TheBytesAreTheBlock) {
  const TestArray x = counting(DType::kInt16, {3, 4});
  TestTask task;
  task.declared = {{DType::kInt16, {3, 4}, {}}};
  task.task_params = x.bytes();
  EXPECT_EQ(Library::best().run_one("tegula.from_bytes", {}, task).bytes(), x.bytes());
  task.task_params.pop_back();
  EXPECT_EQ(outcome_of([&] { Library::best().run("tegula.from_bytes", {}, task); }).code, TEGULA_EVALUE);
}

// ---- tegula.read_npy ----

Bytes swapped(DType dtype, Bytes bytes) {
  const std::size_t word = kind_of(dtype) == DTypeKind::kComplex ? item_size(dtype) / 2 : item_size(dtype);
  for (std::size_t i = 0; i < bytes.size(); i += word)
    std::reverse(bytes.begin() + static_cast<std::ptrdiff_t>(i), bytes.begin() + static_cast<std::ptrdiff_t>(i + word));
  return bytes;
}

TEST_F(Files, SlicesOfFilesOfEveryKind) {
  Random random(2);
  for (int round = 0; round < 400; ++round) {
    const int ndim = static_cast<int>(below(random, 4));
    Shape shape;
    for (int d = 0; d < ndim; ++d) shape.push_back(1 + below(random, d + 1 == ndim && round % 4 == 0 ? 3000 : 30));
    const DType dtype = static_cast<DType>(below(random, kDTypeCount));
    const TestArray array = counting(dtype, shape);

    ReadNpyParams params;
    params.path = path("x.npy");
    params.header = {dtype, below(random, 2) == 0, below(random, 2) == 0, shape,
                     static_cast<std::uint64_t>(below(random, 200))};
    TestArray stored = array;
    if (params.header.fortran_order) {
      std::reverse(stored.shape.begin(), stored.shape.end());
      std::reverse(stored.strides.begin(), stored.strides.end());
    }
    Bytes content(params.header.data_offset);
    const Bytes data = params.header.byte_swapped ? swapped(dtype, stored.bytes()) : stored.bytes();
    content.insert(content.end(), data.begin(), data.end());
    write(params.path, content);
    params.stamp = stamp_of(params.path);

    // The slice: any start and step along each dimension, some of them fixed, the axes in any order.
    TestArray expected = array;
    std::vector<int> order(shape.size());
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), random);
    params.axis.assign(shape.size(), -1);
    params.start.assign(shape.size(), 0);
    params.step.assign(shape.size(), 1);
    Shape view_shape;
    Strides view_strides;
    for (const int dim : order) {
      const auto d = static_cast<std::size_t>(dim);
      const std::int64_t steps[] = {1, 1, 1, 2, 3, -1, -2, -7, 600};
      params.step[d] = steps[below(random, 9)];
      params.start[d] = below(random, shape[d]);
      if (below(random, 3) == 0) params.start[d] = params.step[d] > 0 ? 0 : shape[d] - 1;
      const std::int64_t room =
          params.step[d] > 0 ? (shape[d] - 1 - params.start[d]) / params.step[d] : params.start[d] / -params.step[d];
      const bool fixed = below(random, 5) == 0;
      expected = expected.slice(dim, params.start[d], fixed ? 1 : room + 1, params.step[d]);
      if (fixed) continue;
      params.axis[d] = static_cast<std::int32_t>(view_shape.size());
      view_shape.push_back(expected.shape[d]);
      view_strides.push_back(expected.strides[d]);
    }
    expected.shape = view_shape;
    expected.strides = view_strides;

    // One block of it.
    TestTask task;
    task.declared = {{dtype, {}, {}}};
    for (std::size_t d = 0; d < view_shape.size(); ++d) {
      const std::int64_t offset = below(random, view_shape[d]), count = 1 + below(random, view_shape[d] - offset);
      task.declared[0].offset.push_back(offset);
      task.declared[0].shape.push_back(count);
      expected = expected.slice(static_cast<int>(d), offset, count, 1);
    }
    const Library& library = Library::all()[static_cast<std::size_t>(round) % Library::all().size()];
    ASSERT_EQ(library.run_one("tegula.read_npy", encode(params), task).bytes(), expected.bytes()) << "round " << round;
  }
}

TEST_F(Files, LargeSpansAreReadInParts) {
  // A row is larger than the buffer, and every other element is wanted.
  const Shape shape = {3, 400'000};
  const TestArray array = counting(DType::kFloat64, shape);
  ReadNpyParams params{path("x.npy"), {DType::kFloat64, false, false, shape, 0}, {}, {0, 1}, {2, 399'999}, {-1, -2}};
  write(params.path, array.bytes());
  params.stamp = stamp_of(params.path);
  TestTask task;
  task.declared = {{DType::kFloat64, {3, 200'000}, {0, 0}}};
  const TestArray got = Library::best().run_one("tegula.read_npy", encode(params), task);
  EXPECT_EQ(got.bytes(), array.slice(0, 2, 3, -1).slice(1, 399'999, 200'000, -2).bytes());
}

class ReadFailures : public Files {
 protected:
  ReadFailures() : params_{path("x.npy"), {DType::kInt32, false, false, {4, 5}, 0}, {}, {0, 1}, {0, 0}, {1, 1}} {
    write(params_.path, counting(DType::kInt32, {4, 5}).bytes());
    params_.stamp = stamp_of(params_.path);
    task_.declared = {{DType::kInt32, {4, 5}, {0, 0}}};
  }
  Outcome outcome() const {
    return outcome_of([&] { Library::best().run("tegula.read_npy", encode(params_), task_); });
  }
  ReadNpyParams params_;
  TestTask task_;
};

TEST_F(ReadFailures, NameThePath) {
  EXPECT_EQ(outcome().code, TEGULA_OK);
  std::filesystem::remove(params_.path);
  EXPECT_EQ(outcome().code, TEGULA_EFILE);
  EXPECT_NE(outcome().message.find(params_.path + ": No such file"), std::string::npos);
}

TEST_F(ReadFailures, ChangedFilesAreNoticed) {
  write(params_.path, counting(DType::kInt32, {4, 6}).bytes());
  EXPECT_EQ(outcome().code, TEGULA_EFILECHANGED);
  write(params_.path, counting(DType::kInt32, {4, 5}).bytes());
  const timespec times[2] = {{1, 0}, {1, 0}};
  ASSERT_EQ(utimensat(AT_FDCWD, params_.path.c_str(), times, 0), 0);
  EXPECT_EQ(outcome().code, TEGULA_EFILECHANGED);
}

TEST_F(ReadFailures, TruncatedFilesAreNoticed) {
  // Parameters that promise more than there is are refused before the file is touched; a stamp that agrees with the
  // short file is a lie.
  params_.header.shape = {4, 500};
  EXPECT_EQ(outcome().code, TEGULA_EVALUE);
  params_.header.shape = {4, 5};
  std::filesystem::resize_file(params_.path, 70);
  EXPECT_EQ(outcome().code, TEGULA_EFILECHANGED);
}

TEST_F(ReadFailures, FilesCutShortUnderWayAreNoticed) {
  // Rows that lie apart are read one by one, with questions between them.
  params_.header.shape = {4, 400'000};
  write(params_.path, Bytes(4 * 400'000 * 4));
  params_.stamp = stamp_of(params_.path);
  task_.declared[0].shape = {4, 300'000};
  EXPECT_EQ(outcome().code, TEGULA_OK);
  task_.cancelled = [this] {
    std::filesystem::resize_file(params_.path, 100);
    return false;
  };
  EXPECT_EQ(outcome().code, TEGULA_EFILECHANGED);
}

TEST_F(ReadFailures, FilesWithoutElementsHaveNoBlocks) {
  params_.header.shape = {0, std::int64_t{1} << 40, std::int64_t{1} << 40};
  params_.axis = {0, 1, 2};
  params_.start = {0, 0, 0};
  params_.step = {1, 1, 1};
  task_.declared[0] = {DType::kInt32, {1, 2, 3}, {0, 0, 0}};
  EXPECT_EQ(outcome().code, static_cast<int>(ErrorCode::kIndex));
}

TEST_F(ReadFailures, BlocksOutsideTheFile) {
  task_.declared[0].offset = {1, 0};
  EXPECT_EQ(outcome().code, static_cast<int>(ErrorCode::kIndex));
  task_.declared[0].offset = {0, 0};
  params_.step = {1, INT64_MAX};
  EXPECT_EQ(outcome().code, static_cast<int>(ErrorCode::kIndex));
  params_.step = {1, 0};
  EXPECT_NE(outcome().code, TEGULA_OK);
  params_.step = {1, 1};
  task_.declared[0].dtype = DType::kInt64;
  EXPECT_EQ(outcome().code, TEGULA_EDTYPE);
  task_.declared[0] = {DType::kInt32, {4, 5, 2}, {0, 0, 0}};
  EXPECT_EQ(outcome().code, TEGULA_ESHAPE);
}

TEST_F(ReadFailures, CancelledReadsEnd) {
  params_.header.shape = {4, 400'000};
  write(params_.path, Bytes(4 * 400'000 * 4));
  params_.stamp = stamp_of(params_.path);
  task_.declared[0].shape = {4, 300'000};
  task_.cancelled = [] { return true; };
  EXPECT_EQ(outcome().code, TEGULA_ECANCELLED);
}

// ---- tegula.write_npy ----

WriteNpyParams write_params(const std::string& path, DType dtype, ChunkGrid chunks) {
  const Shape shape = chunks.shape();
  return {path, dtype, shape, npy_header(dtype, shape).size(), std::move(chunks)};
}

void write_block(const Library& library, const WriteNpyParams& params, std::vector<std::int64_t> block,
                 const TestArray& piece) {
  TestTask task;
  task.grid = params.chunks.grid();
  task.block = std::move(block);
  task.inputs = {{{piece}, {}}};
  task.declared = {{DType::kUInt8, {0, 1}, {}}};
  EXPECT_EQ(library.run_one("tegula.write_npy", encode(params), task).size(), 0);
}

TEST_F(Files, BlocksWrittenMakeTheWholeFile) {
  Random random(3);
  for (int round = 0; round < 100; ++round) {
    Shape shape;
    std::vector<DimChunks> dims;
    for (auto d = below(random, 4); d > 0; --d) {
      shape.push_back(1 + below(random, 20));
      dims.push_back(DimChunks(shape.back(), 1 + below(random, shape.back())));
    }
    const DType dtype = static_cast<DType>(below(random, kDTypeCount));
    const TestArray array = counting(dtype, shape);
    const WriteNpyParams params = write_params(path("y.npy"), dtype, ChunkGrid(dims));
    Bytes expected = npy_header(dtype, shape);
    write(params.path, expected);
    const Bytes data = array.bytes();
    expected.insert(expected.end(), data.begin(), data.end());
    std::filesystem::resize_file(params.path, expected.size());

    std::vector<std::int64_t> block(shape.size());
    for (std::int64_t i = 0; i < params.chunks.blocks(); ++i) {
      unravel(i, params.chunks.grid(), block);
      const Shape offset = params.chunks.block_offset(block), size = params.chunks.block_shape(block);
      TestArray piece = array;
      for (std::size_t d = 0; d < shape.size(); ++d) piece = piece.slice(static_cast<int>(d), offset[d], size[d], 1);
      std::vector<int> order(shape.size());
      std::iota(order.begin(), order.end(), 0);
      std::shuffle(order.begin(), order.end(), random);
      write_block(Library::best(), params, block, round % 2 == 0 ? piece : piece.laid_out(order, random() % 8, 0, 0));
    }
    ASSERT_EQ(read(params.path), expected) << to_string(shape);
  }
}

TEST_F(Files, LargeTransposedBlocksAreWrittenInParts) {
  const Shape shape = {700, 900};
  const TestArray array = counting(DType::kFloat64, shape);
  const WriteNpyParams params = write_params(path("y.npy"), DType::kFloat64, one_chunk(shape));
  write(params.path, npy_header(DType::kFloat64, shape));
  std::filesystem::resize_file(params.path, params.data_offset + 700 * 900 * 8);
  write_block(Library::best(), params, {0, 0}, array.laid_out({1, 0}, 0, 0, 0));
  const Bytes got = read(params.path);
  EXPECT_EQ(Bytes(got.begin() + static_cast<std::ptrdiff_t>(params.data_offset), got.end()), array.bytes());
}

TEST_F(Files, FailedWritesNameThePathAndTheReason) {
  const TestArray piece = TestArray::zeros(DType::kFloat64, {10});
  const auto failure = [&](const std::string& target) {
    return outcome_of(
        [&] { write_block(Library::best(), write_params(target, DType::kFloat64, one_chunk({10})), {0}, piece); });
  };
  EXPECT_EQ(failure(path("absent.npy")).code, TEGULA_EFILE);
  EXPECT_FALSE(std::filesystem::exists(path("absent.npy")));
  // A device that is always full.
  const Outcome full = failure("/dev/full");
  EXPECT_EQ(full.code, TEGULA_EFILE);
  EXPECT_EQ(full.message, "writing /dev/full: No space left on device");
}

}  // namespace
}  // namespace tegula::test
