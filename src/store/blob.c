#include "store/blob.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "os/loop.h"
#include "store/crc.h"
#include "store/pack.h"
#include <string.h>

/* header: magic 4, version u16, zero u16, blob id 16, owner u64, plain length u64, chunks u32, CRC32C u32 of the header and table,
 * then per chunk u32 stored length; then the chunks, each: u8 kind, AEAD(...); then CRC32C u32 of everything before it. */
enum { FIXED_LEN = 48, CHUNK_EXTRA = 1 + TAG_LEN, CRC_LEN = 4, CRC_AT = 44, AAD_LEN = CRC_AT + 1 };
#define MAGIC "LLB1"
enum { FORMAT_ZSTD = 1, FORMAT_LZ4 = 2, FORMAT = 3 }; /* each knows one packing more */
#define PLAIN_MAX (1ull << 30)

/* 48 bits of Unix milliseconds, then 80 random ones: ids of one hour lie together in the index. */
enum rc blob_id_new(struct blob_id *out)
{
	uint64_t now = (uint64_t)wall_ms();
	for (unsigned i = 0; i < 6; i++)
		out->b[i] = (uint8_t)(now >> (40 - 8 * i));
	return random_bytes(out->b + 6, sizeof out->b - 6);
}

static void be32(char *p, uint32_t v)
{
	for (unsigned i = 0; i < 4; i++)
		p[i] = (char)(v >> (24 - 8 * i));
}

static uint32_t get32(const char *p)
{
	const unsigned char *u = (const unsigned char *)p;
	return (uint32_t)u[0] << 24 | (uint32_t)u[1] << 16 | (uint32_t)u[2] << 8 | u[3];
}

static uint32_t chunk_count(uint64_t plain)
{
	return plain == 0 ? 1 : (uint32_t)((plain + BLOB_CHUNK - 1) / BLOB_CHUNK); /* an empty body has one empty chunk: it is authenticated, too */
}

static size_t chunk_plain_len(const struct blob_header *h, uint32_t i)
{
	uint64_t left = h->plain_len - (uint64_t)i * BLOB_CHUNK;
	return left < BLOB_CHUNK ? (size_t)left : BLOB_CHUNK;
}

/* The immutable context of every chunk: the header without its checksum, and what kind of chunk it is. */
static void header_bytes(const struct blob_header *h, struct buf *out)
{
	buf_add(out, STR(MAGIC));
	buf_u16(out, h->version);
	buf_u16(out, 0);
	buf_add(out, str_of(h->id.b, sizeof h->id.b));
	buf_u64(out, h->owner);
	buf_u64(out, h->plain_len);
	buf_u32(out, h->chunks);
}

static enum rc chunk_aad(const struct blob_header *h, uint8_t kind, char out[AAD_LEN])
{
	struct buf b;
	buf_init(&b, AAD_LEN);
	header_bytes(h, &b);
	buf_u8(&b, kind);
	bool failed = b.failed || b.len != AAD_LEN;
	if (!failed)
		memcpy(out, b.p, AAD_LEN);
	buf_done(&b);
	return failed ? RC_NOMEM : RC_OK;
}

static enum rc seal_chunk(struct aead *a, const struct blob_header *h, uint32_t i, struct str plain, char *scratch, struct buf *out)
{
	enum packing kind;
	size_t packed;
	char aad[AAD_LEN];
	TRY(pack_chunk(plain, scratch, &kind, &packed));
	if (kind != PACKED_NOT)
		plain = str_of(scratch, packed);
	TRY(chunk_aad(h, (uint8_t)kind, aad));
	if (!buf_room(out, plain.n + CHUNK_EXTRA))
		return RC_LIMIT;
	out->p[out->len] = (char)kind;
	TRY(aead_seal_with(a, i, str_of(aad, sizeof aad), plain, (uint8_t *)out->p + out->len + 1));
	out->len += plain.n + CHUNK_EXTRA;
	return RC_OK;
}

static enum rc seal_all(struct aead *a, struct blob_header *h, struct str plain, char *scratch, struct buf *out)
{
	size_t start = out->len;
	h->header_len = FIXED_LEN + 4 * (size_t)h->chunks;
	header_bytes(h, out);
	if (!buf_room(out, h->header_len - CRC_AT))
		return RC_LIMIT;
	memset(out->p + out->len, 0, h->header_len - CRC_AT);
	out->len = start + h->header_len;
	for (uint32_t i = 0; i < h->chunks; i++) {
		size_t before = out->len;
		TRY(seal_chunk(a, h, i, str_head(str_skip(plain, (size_t)i * BLOB_CHUNK), BLOB_CHUNK), scratch, out));
		be32(out->p + start + FIXED_LEN + 4 * (size_t)i, (uint32_t)(out->len - before));
	}
	uint32_t crc = crc32c(0, str_of(out->p + start, CRC_AT));
	be32(out->p + start + CRC_AT, crc32c(crc, str_of(out->p + start + FIXED_LEN, 4 * (size_t)h->chunks)));
	buf_u32(out, crc32c(0, str_of(out->p + start, out->len - start)));
	return out->failed ? RC_LIMIT : RC_OK;
}

enum rc blob_seal(const struct secret *body_key, const struct blob_id *id, uint64_t owner, struct str plain, struct buf *out)
{
	if (plain.n > PLAIN_MAX)
		return RC_LIMIT;
	struct blob_header h = { .version = FORMAT, .id = *id, .owner = owner, .plain_len = plain.n, .chunks = chunk_count(plain.n) };
	size_t room = plain.n < BLOB_CHUNK ? plain.n : BLOB_CHUNK;
	char *scratch = mem_raw(room);
	struct aead *a = NULL;
	enum rc rc = scratch ? aead_new(body_key, &a) : RC_NOMEM;
	size_t start = out->len;
	if (rc == RC_OK)
		rc = seal_all(a, &h, plain, scratch, out);
	if (rc != RC_OK)
		out->len = start;
	if (scratch)
		mem_wipe(scratch, room);
	mem_free(scratch);
	aead_free(&a);
	return rc;
}

/* ---- reading ---- */
enum rc blob_header_parse(struct str first, struct blob_header *out, size_t *out_need, struct why *why)
{
	if (first.n < FIXED_LEN) {
		*out_need = FIXED_LEN;
		return RC_AGAIN;
	}
	struct cursor c = cursor_of(first);
	struct blob_header h = { 0 };
	if (!str_eq(cursor_take(&c, 4), STR(MAGIC)))
		FAIL(why, RC_DAMAGED, "not a sealed body (magic)");
	h.version = cursor_u16(&c);
	if (h.version < FORMAT_ZSTD || h.version > FORMAT || cursor_u16(&c) != 0)
		FAIL(why, RC_DAMAGED, "sealed body of an unknown format version");
	memcpy(h.id.b, cursor_take(&c, BLOB_ID_LEN).p, BLOB_ID_LEN);
	h.owner = cursor_u64(&c);
	h.plain_len = cursor_u64(&c);
	h.chunks = cursor_u32(&c);
	uint32_t crc = cursor_u32(&c);
	if (h.plain_len > PLAIN_MAX || h.chunks != chunk_count(h.plain_len))
		FAIL(why, RC_DAMAGED, "sealed body whose lengths contradict each other");
	h.header_len = FIXED_LEN + 4 * (size_t)h.chunks;
	if (first.n < h.header_len) {
		*out_need = h.header_len;
		return RC_AGAIN;
	}
	if (crc32c(crc32c(0, str_head(first, CRC_AT)), str_head(c.in, 4 * (size_t)h.chunks)) != crc)
		FAIL(why, RC_DAMAGED, "sealed body whose header fails its checksum");
	*out = h;
	return RC_OK;
}

static uint32_t chunk_len(struct str header, uint32_t i) { return get32(header.p + FIXED_LEN + 4 * (size_t)i); }

enum rc blob_chunk_at(struct str header_bytes_, const struct blob_header *h, uint32_t i, uint64_t *out_off, uint32_t *out_len)
{
	if (i >= h->chunks || header_bytes_.n < h->header_len)
		return RC_LIMIT;
	uint64_t off = h->header_len;
	for (uint32_t k = 0; k < i; k++)
		off += chunk_len(header_bytes_, k);
	uint32_t len = chunk_len(header_bytes_, i);
	if (len < CHUNK_EXTRA || len > BLOB_CHUNK + CHUNK_EXTRA)
		return RC_DAMAGED;
	*out_off = off;
	*out_len = len;
	return RC_OK;
}

enum rc blob_stored_len(struct str header, const struct blob_header *h, uint64_t *out)
{
	uint64_t total = h->header_len + CRC_LEN;
	if (header.n < h->header_len)
		return RC_LIMIT;
	for (uint32_t i = 0; i < h->chunks; i++) {
		uint32_t len = chunk_len(header, i);
		if (len < CHUNK_EXTRA || len > BLOB_CHUNK + CHUNK_EXTRA)
			return RC_DAMAGED;
		total += len;
	}
	*out = total;
	return RC_OK;
}

/* What stands before the seal of chunk `i`: how it is packed, and the context it was sealed in. */
struct sealed_chunk { enum packing kind; size_t n; char aad[AAD_LEN]; };
static enum rc look_at_chunk(const struct blob_header *h, uint32_t i, struct str stored, struct sealed_chunk *out)
{
	if (i >= h->chunks || stored.n < CHUNK_EXTRA || stored.n > BLOB_CHUNK + CHUNK_EXTRA)
		return RC_DAMAGED;
	enum packing most = h->version == FORMAT_ZSTD ? PACKED_ZSTD : h->version == FORMAT_LZ4 ? PACKED_LZ4 : PACKED_LINES;
	out->kind = (uint8_t)stored.p[0];
	out->n = chunk_plain_len(h, i);
	if (out->kind > most || (out->kind == PACKED_NOT && stored.n != out->n + CHUNK_EXTRA))
		return RC_DAMAGED;
	return chunk_aad(h, (uint8_t)out->kind, out->aad);
}

static enum rc open_packed(const struct secret *key, uint32_t i, const struct sealed_chunk *c, struct str sealed, char *to)
{
	size_t packed = sealed.n - TAG_LEN;
	char *scratch = mem_raw(packed);
	if (!scratch)
		return RC_NOMEM;
	enum rc rc = aead_open_into(key, i, str_of(c->aad, AAD_LEN), sealed, (uint8_t *)scratch);
	if (rc == RC_OK)
		rc = unpack_chunk(c->kind, str_of(scratch, packed), to, c->n);
	mem_wipe(scratch, packed);
	mem_free(scratch);
	return rc;
}

enum rc blob_chunk_open(const struct secret *body_key, const struct blob_header *h, uint32_t i, struct str stored, struct buf *out)
{
	struct sealed_chunk c;
	TRY(look_at_chunk(h, i, stored, &c));
	if (!buf_room(out, c.n + 1)) /* + 1: never a NULL for an empty chunk */
		return RC_LIMIT;
	char *to = out->p + out->len;
	struct str sealed = str_skip(stored, 1);
	enum rc rc = c.kind == PACKED_NOT ? aead_open_into(body_key, i, str_of(c.aad, AAD_LEN), sealed, (uint8_t *)to) : open_packed(body_key, i, &c, sealed, to);
	if (rc == RC_OK)
		out->len += c.n;
	return rc;
}

enum rc blob_chunk_open_over(struct aead *body, const struct blob_header *h, uint32_t i, char *stored, size_t n, struct buf *out)
{
	struct sealed_chunk c;
	TRY(look_at_chunk(h, i, str_of(stored, n), &c));
	if (!buf_room(out, c.n + 1))
		return RC_LIMIT;
	char *to = out->p + out->len, *packed = stored + 1;
	struct str sealed = str_of(packed, n - 1);
	TRY(aead_open_with(body, i, str_of(c.aad, AAD_LEN), sealed, (uint8_t *)(c.kind == PACKED_NOT ? to : packed)));
	if (c.kind != PACKED_NOT)
		TRY(unpack_chunk(c.kind, str_of(packed, sealed.n - TAG_LEN), to, c.n));
	out->len += c.n;
	return RC_OK;
}

enum rc blob_check(struct str stored, const struct blob_id *id, struct why *why)
{
	struct blob_header h;
	size_t need = 0;
	enum rc rc = blob_header_parse(stored, &h, &need, why);
	if (rc == RC_AGAIN)
		FAIL(why, RC_DAMAGED, "sealed body is cut off: %zu octets, its header alone needs %zu", stored.n, need);
	if (rc != RC_OK)
		return rc;
	if (memcmp(h.id.b, id->b, sizeof id->b) != 0)
		FAIL(why, RC_DAMAGED, "sealed body carries another blob's id");
	uint64_t total;
	if (blob_stored_len(stored, &h, &total) != RC_OK)
		FAIL(why, RC_DAMAGED, "sealed body with an impossible chunk length");
	if (total != stored.n)
		FAIL(why, RC_DAMAGED, "sealed body: %zu octets stored, its header says %llu", stored.n, (unsigned long long)total);
	if (crc32c(0, str_head(stored, stored.n - CRC_LEN)) != get32(stored.p + stored.n - CRC_LEN))
		FAIL(why, RC_DAMAGED, "sealed body fails its checksum");
	return RC_OK;
}
