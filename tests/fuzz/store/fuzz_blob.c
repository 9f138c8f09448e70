/* Bodies: what the header parser, the chunk table and the chunk opener do with bytes of anybody's. Four ways in, by the first octet:
 * the bytes as a stored body; as a segment walked from body to body; sealed under our own key as the inside of a chunk, so that
 * what comes after the seal (the kind octet, zstd, LZ4, lines of base64) is reached, too; and as a message, which must come back as it was. */
#include "store/blob.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static const struct secret key = { { 7 } };
static const struct blob_id id = { { 1, 2, 3 } };

/* Both ways of opening a chunk say the same of it. */
static void open_both(const struct blob_header *h, uint32_t i, struct str chunk)
{
	static struct aead *a;
	struct buf one, other;
	char *copy = malloc(chunk.n + 1);
	buf_init(&one, 1 << 20);
	buf_init(&other, 1 << 20);
	if (copy && (a || aead_new(&key, &a) == RC_OK)) {
		memcpy(copy, chunk.p, chunk.n);
		if (blob_chunk_open(&key, h, i, chunk, &one) != blob_chunk_open_over(a, h, i, copy, chunk.n, &other) || !str_eq(buf_str(&one), buf_str(&other)))
			abort();
	}
	free(copy);
	buf_done(&one);
	buf_done(&other);
}

static void open_chunks(struct str stored)
{
	struct blob_header h;
	size_t need = 0;
	enum rc rc = blob_header_parse(stored, &h, &need, NULL);
	if (rc == RC_AGAIN && need <= stored.n)
		abort(); /* it has what it asked for */
	if (rc != RC_OK)
		return;
	for (uint32_t i = 0; i < h.chunks && i < 8; i++) {
		uint64_t off;
		uint32_t len;
		if (blob_chunk_at(stored, &h, i, &off, &len) == RC_OK && off + len <= stored.n)
			open_both(&h, i, str_head(str_skip(stored, off), len));
	}
	(void)!blob_check(stored, &id, NULL);
}

static void walk(struct str segment)
{
	for (unsigned i = 0; i < 64 && segment.n; i++) {
		struct blob_header h;
		size_t need;
		uint64_t len;
		if (blob_header_parse(segment, &h, &need, NULL) != RC_OK || blob_stored_len(segment, &h, &len) != RC_OK || len > segment.n)
			return;
		if (len < h.header_len)
			abort();
		(void)!blob_check(str_head(segment, len), &h.id, NULL);
		segment = str_skip(segment, len);
	}
}

static void inside(struct str plain)
{
	struct blob_header h;
	struct buf sealed, chunk, out;
	size_t need;
	char aad[45];
	if (plain.n < 3)
		return;
	size_t claimed = ((size_t)(uint8_t)plain.p[1] << 8 | (uint8_t)plain.p[2]) + 1;
	char *zeros = calloc(1, claimed);
	buf_init(&sealed, 1 << 20);
	buf_init(&chunk, 1 << 20);
	buf_init(&out, 1 << 20);
	if (zeros && blob_seal(&key, &id, 9, str_of(zeros, claimed), &sealed) == RC_OK &&
	    blob_header_parse(buf_str(&sealed), &h, &need, NULL) == RC_OK) {
		memcpy(aad, sealed.p, 44); /* a chunk's context: the header before its checksum, and the kind */
		aad[44] = plain.p[0];
		buf_byte(&chunk, plain.p[0]);
		if (aead_seal(&key, 0, str_of(aad, sizeof aad), str_skip(plain, 3), &chunk) == RC_OK &&
		    blob_chunk_open(&key, &h, 0, buf_str(&chunk), &out) == RC_OK && out.len != claimed)
			abort();
	}
	free(zeros);
	buf_done(&sealed);
	buf_done(&chunk);
	buf_done(&out);
}

static void there_and_back(struct str plain)
{
	struct blob_header h;
	struct buf sealed, back;
	size_t need;
	uint64_t off;
	uint32_t len;
	buf_init(&sealed, 1 << 20);
	buf_init(&back, 1 << 20);
	if (blob_seal(&key, &id, 9, plain, &sealed) != RC_OK || blob_header_parse(buf_str(&sealed), &h, &need, NULL) != RC_OK ||
	    blob_chunk_at(buf_str(&sealed), &h, 0, &off, &len) != RC_OK ||
	    blob_chunk_open(&key, &h, 0, str_head(str_skip(buf_str(&sealed), off), len), &back) != RC_OK || !str_eq(buf_str(&back), plain))
		abort();
	buf_done(&sealed);
	buf_done(&back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0 || n > 1 << 16)
		return 0;
	struct str s = str_of(data + 1, n - 1);
	switch (data[0] % 4) {
	case 0: open_chunks(s); break;
	case 1: walk(s); break;
	case 2: inside(s); break;
	default: there_and_back(s);
	}
	return 0;
}
