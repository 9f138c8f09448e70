#include "store/rows.h"

#include "base/cursor.h"

enum { ROW_RUN_MAX = 256 << 20 };
#define DAMAGED_BIT 0x80000000u

/* u32 uid, u32 flags (top bit: damaged), u64 keywords, u64 modseq, u64 size; then for what was wanted: record run, grams run,
 * place (u32 segment, u64 offset, u64 length). */
enum rc row_next(struct cursor *c, unsigned want, struct row *out)
{
	if (c->failed)
		return RC_SYNTAX;
	if (c->in.n == 0)
		return RC_NOTFOUND;
	struct row r = { .record = STR(""), .grams = STR("") };
	r.uid = cursor_u32(c);
	r.flags = cursor_u32(c);
	r.keywords = cursor_u64(c);
	r.modseq = cursor_u64(c);
	r.size = cursor_u64(c);
	r.damaged = (r.flags & DAMAGED_BIT) != 0;
	r.flags &= ~DAMAGED_BIT;
	if (want & (ROW_RECORD | ROW_HEAD))
		r.record = cursor_run(c, ROW_RUN_MAX);
	if (want & ROW_GRAMS)
		r.grams = cursor_run(c, ROW_RUN_MAX);
	if (want & ROW_PLACE) {
		r.place.segment = cursor_u32(c);
		r.place.offset = cursor_u64(c);
		r.place.length = cursor_u64(c);
	}
	if (c->failed || r.uid == 0 || !blob_place_fits(&r.place))
		return c->failed = true, RC_SYNTAX;
	*out = r;
	return RC_OK;
}
