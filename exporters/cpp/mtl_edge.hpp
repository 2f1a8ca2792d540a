// Run a model that mtl-edge made, with C++17 and ONNX Runtime. Header-only; the kit's model.hpp says which model.
//
// Nothing in here throws (a std::bad_alloc aside): what can go wrong is a Result. mtl_edge/throwing.hpp turns one into an
// exception for those who want that.
#ifndef MTL_EDGE_HPP  // no #pragma once: each of two kits in one program has its own copy
#define MTL_EDGE_HPP

#include "mtl_edge/answers.hpp"        // IWYU pragma: export
#include "mtl_edge/model.hpp"          // IWYU pragma: export
#include "mtl_edge/preprocessing.hpp"  // IWYU pragma: export
#include "mtl_edge/result.hpp"         // IWYU pragma: export

#endif  // MTL_EDGE_HPP
