#pragma once
#include "store/engine.h"

/* The inside of a batch, for engines. */
enum op_kind { OP_EXPECT, OP_PUT, OP_DELETE, OP_COPY, OP_BLOB, OP_NOTICE };
struct notice { uint64_t account, box, modseq; };
struct op {
	enum op_kind kind;
	enum table table;
	struct str key, value, to;      /* OP_COPY: value is the patch; OP_BLOB: key is the id */
	size_t at;
	int32_t delta;
	bool optional, lent, append;
	struct notice notice;
};
