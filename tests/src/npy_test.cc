#include "src/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <random>

#include "src/npy_parse.h"
#include "tegula/error.h"

namespace tegula {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class Npy : public ::testing::Test {
 protected:
  Npy() {
    std::string name = (fs::temp_directory_path() / "tegula-npy.XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw std::runtime_error("mkdtemp failed");
    directory_ = name;
  }
  ~Npy() override { fs::remove_all(directory_); }

  std::string path(const std::string& name) const { return (directory_ / name).string(); }

  std::string write(const std::string& bytes) const {
    std::ofstream(path("a.npy"), std::ios::binary) << bytes;
    return path("a.npy");
  }

  // A file with this dictionary, as version 1.0, and `data` bytes behind it.
  std::string with_header(const std::string& text, std::size_t data, int version = 1) const {
    std::string bytes = std::string("\x93NUMPY") + static_cast<char>(version) + '\0';
    bytes += static_cast<char>(text.size() & 255);
    bytes += static_cast<char>(text.size() >> 8);
    if (version > 1) bytes += std::string(2, '\0');
    return write(bytes + text + std::string(data, 'x'));
  }

  fs::path directory_;
};

TEST_F(Npy, OwnHeadersAreReadBack) {
  for (int i = 0; i < kDTypeCount; ++i) {
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{3, 4}, Shape{0, 2}, Shape(kMaxNdim, 2)}) {
      const auto dtype = static_cast<DType>(i);
      const Bytes bytes = npy_header(dtype, shape);
      EXPECT_EQ(bytes.size() % 64, 0u);
      EXPECT_EQ(bytes.back(), std::byte{'\n'});
      std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      FileStamp stamp;
      const std::string file =
          write(text + std::string(static_cast<std::size_t>(element_count(shape)) * item_size(dtype), '\0'));
      const NpyHeader header = read_npy_header(file, &stamp);
      EXPECT_EQ(header.dtype, dtype);
      EXPECT_EQ(header.shape, shape);
      EXPECT_EQ(header.data_offset, bytes.size());
      EXPECT_FALSE(header.byte_swapped);
      EXPECT_FALSE(header.fortran_order);
      EXPECT_EQ(stamp, stamp_of(file));
      EXPECT_EQ(stamp.size, fs::file_size(file));
    }
  }
}

// NumPy itself, where it is installed: every dtype, both byte and element orders, each version.
TEST_F(Npy, FilesWrittenByNumPy) {
  const char* python = "/usr/bin/python3";
  if (std::system((std::string(python) + " -c 'import numpy' >/dev/null 2>&1").c_str()) != 0) {
    GTEST_SKIP() << "no NumPy for " << python;
  }
  std::ofstream(path("write.py")) << R"(
import sys, numpy as np
names = "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 float32 float64 complex64 complex128".split()
for i, name in enumerate(names):
    for order in "<>":
        for fortran in (False, True):
            for version in ((1, 0), (2, 0), (3, 0)):
                a = np.zeros((2, 3, 4), np.dtype(name).newbyteorder(order), order="F" if fortran else "C")
                with open(f"{sys.argv[1]}/{i}{order}{int(fortran)}{version[0]}", "wb") as f:
                    np.lib.format.write_array(f, a, version)
for name, dtype in dict(object=object, str="U3", bytes="S3", datetime="M8[ns]", delta="m8[s]", half="f2",
                        long=np.longdouble, fields=[("a", "i4"), ("b", "f8")], raw="V7").items():
    with open(f"{sys.argv[1]}/{name}", "wb") as f:
        np.lib.format.write_array(f, np.zeros(3, dtype), allow_pickle=True)
)";
  ASSERT_EQ(std::system((std::string(python) + " " + path("write.py") + " " + directory_.string()).c_str()), 0);
  for (int i = 0; i < kDTypeCount; ++i) {
    for (const char order : {'<', '>'}) {
      for (const bool fortran : {false, true}) {
        for (const char version : {'1', '2', '3'}) {
          const std::string file = path(std::to_string(i) + order + (fortran ? '1' : '0') + version);
          const NpyHeader header = read_npy_header(file);
          EXPECT_EQ(header.dtype, static_cast<DType>(i)) << file;
          EXPECT_EQ(header.byte_swapped, order == '>' && item_size(header.dtype) > 1) << file;
          EXPECT_EQ(header.fortran_order, fortran) << file;
          EXPECT_THAT(header.shape, ElementsAre(2, 3, 4)) << file;
          EXPECT_EQ(header.data_offset + 24 * item_size(header.dtype), fs::file_size(file)) << file;
        }
      }
    }
  }
  const std::pair<const char*, const char*> refused[] = {
      {"object", "object"},       {"str", "str"},           {"bytes", "bytes"},
      {"datetime", "datetime64"}, {"delta", "timedelta64"}, {"half", "float16"},
      {"long", "long double"},    {"fields", "structured"}, {"raw", "void"},
  };
  for (const auto& [name, kind] : refused) {
    const std::string file = path(name);
    EXPECT_THAT([&file] { read_npy_header(file); }, ThrowsMessage<DTypeError>(AllOf(HasSubstr(file), HasSubstr(kind))));
  }
}

TEST_F(Npy, DictionariesInAnyForm) {
  const auto parse = [](std::string_view text) { return parse_npy_header(text, "f"); };
  EXPECT_THAT(parse("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }  \n").shape, ElementsAre(3, 4));
  EXPECT_THAT(parse("{\"shape\":(3L,4L),\"fortran_order\":True,\"descr\":\"=i4\"}").shape, ElementsAre(3, 4));
  EXPECT_THAT(parse(" { 'shape' : ( 3 , ) , 'descr' : '|u1' , 'fortran_order' : False }").shape, ElementsAre(3));
  EXPECT_THAT(parse("{'descr': '>c16', 'fortran_order': True, 'shape': ()}").shape, ElementsAre());
  EXPECT_TRUE(parse("{'descr': '>c16', 'fortran_order': True, 'shape': ()}").byte_swapped);
  EXPECT_FALSE(parse("{'descr': '>i1', 'fortran_order': True, 'shape': ()}").byte_swapped);
}

TEST_F(Npy, WhatIsNoDictionaryOfAnArrayIsRefused) {
  const char* bad[] = {
      "",
      "{",
      "}",
      "{}",
      "[]",
      "{'descr'",
      "{'descr': ",
      "{'descr': '<f8",
      "{'descr': '<f8'}",
      "{'descr': '<f8', 'fortran_order': False}",
      "{'descr': '<f8', 'fortran_order': 0, 'shape': (3,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3,}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3,) 'x': 1}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (-3,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3.5,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (99999999999999999999,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': 3}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), 'extra': 1}",
      "{'descr': '<f8', 'descr': '<f8', 'fortran_order': False, 'shape': (3,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (3,)} x",
      "{'descr': '<f\\x38', 'fortran_order': False, 'shape': (3,)}",
      "{'descr': '<f8', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1)}",
  };
  for (const char* text : bad) EXPECT_THROW(parse_npy_header(text, "f"), FileError) << text;
  for (const char* descr : {"'<q8'", "''", "'<'", "'float64'", "'<f8 '", "[('a', '<i4')]", "('<f8', (3,))", "'|O'",
                            "'<U10'", "'|S4'", "'<M8[ns]'"}) {
    const std::string text = std::string("{'descr': ") + descr + ", 'fortran_order': False, 'shape': (3,)}";
    EXPECT_THROW(parse_npy_header(text, "f"), DTypeError) << text;
  }
}

TEST_F(Npy, BrokenFiles) {
  const std::string good = "{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }";
  EXPECT_NO_THROW(read_npy_header(with_header(good, 24)));
  EXPECT_NO_THROW(read_npy_header(with_header(good, 24, 2)));
  EXPECT_NO_THROW(read_npy_header(with_header(good, 100)));
  EXPECT_THAT([&] { read_npy_header(with_header(good, 23)); },
              ThrowsMessage<FileError>(AllOf(HasSubstr("a.npy: truncated: 24 bytes wanted"), HasSubstr("23 there"))));
  EXPECT_THAT([&] { read_npy_header(with_header(good, 24, 4)); },
              ThrowsMessage<FileError>(HasSubstr(".npy version 4.0 is not known")));
  EXPECT_THAT([&] { read_npy_header(path("missing.npy")); }, ThrowsMessage<FileError>(HasSubstr("missing.npy")));
  EXPECT_THROW(stamp_of(path("missing.npy")), FileError);
  EXPECT_THROW(read_npy_header(directory_.string()), FileError);
  EXPECT_THROW(read_npy_header(write("")), FileError);
  EXPECT_THROW(read_npy_header(write("\x93NUM")), FileError);
  EXPECT_THAT([&] { read_npy_header(write("this is no array at all")); },
              ThrowsMessage<FileError>(HasSubstr("no .npy file")));
  EXPECT_THROW(read_npy_header(write(std::string("\x93NUMPY\x01\x00\xff\x7f{}", 12))), FileError);
  EXPECT_THROW(read_npy_header(write(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14))), FileError);
  EXPECT_THROW(
      read_npy_header(with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (4611686018427387904, 8), }", 8)),
      FileError);
  EXPECT_THROW(
      read_npy_header(with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (2305843009213693952,), }", 8)),
      FileError);
}

ReadNpyParams read_params() {
  ReadNpyParams params;
  params.path = "/data/a.npy";
  params.header = {DType::kFloat32, true, false, {10, 20}, 128};
  params.stamp = {128 + 800, 123456789};
  params.axis = {1, 0};
  params.start = {9, 0};
  params.step = {-1, 2};
  return params;
}

WriteNpyParams write_params() {
  return {"/data/b.npy.tmp", DType::kInt16, {10, 7}, 128, ChunkGrid({DimChunks(10, 4), DimChunks({3, 1, 3})})};
}

TEST_F(Npy, ParametersLeadBack) {
  const ReadNpyParams read = decode_read_npy(encode(read_params()));
  EXPECT_EQ(encode(read), encode(read_params()));
  EXPECT_EQ(read.path, "/data/a.npy");
  EXPECT_TRUE(read.header.byte_swapped);
  EXPECT_THAT(read.step, ElementsAre(-1, 2));
  const WriteNpyParams written = decode_write_npy(encode(write_params()));
  EXPECT_EQ(encode(written), encode(write_params()));
  EXPECT_EQ(written.chunks, write_params().chunks);
}

TEST_F(Npy, WrongParametersAreRefused) {
  const auto read = [](auto change) {
    ReadNpyParams params = read_params();
    change(params);
    decode_read_npy(encode(params));
  };
  EXPECT_NO_THROW(read([](ReadNpyParams&) {}));
  EXPECT_THROW(read([](ReadNpyParams& p) { p.path = "relative.npy"; }), ValueError);
  EXPECT_THROW(read([](ReadNpyParams& p) { p.path = std::string("/a\0b", 4); }), ValueError);
  EXPECT_THROW(read([](ReadNpyParams& p) { p.header.shape = {10, 21}; }), ValueError);  // longer than the file
  EXPECT_THROW(read([](ReadNpyParams& p) { p.header.data_offset = UINT64_MAX; }), ValueError);
  EXPECT_THROW(read([](ReadNpyParams& p) { p.header.shape = {-1, 2}; }), ValueError);
  EXPECT_THROW(read([](ReadNpyParams& p) { p.axis = {0, 0}; }), ValueError);
  EXPECT_THROW(read([](ReadNpyParams& p) { p.axis = {0, 99}; }), ValueError);
  EXPECT_THROW(read([](ReadNpyParams& p) { p.axis = {0}; }), ValueError);
  EXPECT_THROW(read([](ReadNpyParams& p) { p.start = {11, 0}; }), ValueError);
  EXPECT_THROW(read([](ReadNpyParams& p) { p.header.dtype = static_cast<DType>(77); }), ValueError);
  WriteNpyParams params = write_params();
  params.shape = {10, 8};
  EXPECT_THROW(decode_write_npy(encode(params)), ValueError);
}

TEST_F(Npy, RandomBytesAreRefusedOrWellFormed) {
  std::mt19937 random(4);
  const Bytes originals[] = {encode(read_params()), encode(write_params())};
  for (int round = 0; round < 20000; ++round) {
    Bytes bytes = originals[round % 2];
    for (unsigned i = 0; i <= random() % 4; ++i) bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    if (random() % 4 == 0) bytes.resize(random() % bytes.size());
    try {
      if (round % 2 == 0) {
        decode_read_npy(bytes);
      } else {
        decode_write_npy(bytes);
      }
    } catch (const Error&) {
    }
  }
  const std::string header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }";
  for (int round = 0; round < 20000; ++round) {
    std::string text = header;
    for (unsigned i = 0; i <= random() % 4; ++i) text[random() % text.size()] = static_cast<char>(random());
    if (random() % 4 == 0) text.resize(random() % text.size());
    try {
      element_count(parse_npy_header(text, "f").shape);
    } catch (const Error&) {
    }
  }
}

}  // namespace
}  // namespace tegula
