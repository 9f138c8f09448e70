#pragma once
#include "mail/digest.h"

/* Folding in pieces (each of whole characters): a run of white space over two pieces still becomes one space. */
struct fold {
	bool space; /* the last octet put was one */
};
void fold_begin(struct fold *f);
void fold_add(struct fold *f, struct str utf8, struct buf *out);
