#include "role/wire.h"

#include "role/wire_inside.h"

/* ---- accounts ---- */

enum { ACCOUNT_LEAST = 8 * 6 + PUB_LEN + 2 + 4 + 4 };

void wire_put_account(struct buf *out, const struct account *a)
{
	buf_u64(out, a->id);
	buf_u64(out, a->quota);
	buf_u64(out, a->used);
	buf_u64(out, a->messages);
	buf_u64(out, (uint64_t)a->created_ms);
	buf_u64(out, a->inbox);
	buf_add(out, str_of(a->public_key, PUB_LEN));
	buf_u8(out, a->private_mode);
	buf_u8(out, a->disabled);
	buf_run(out, a->address);
	buf_run(out, a->name);
}

enum rc wire_get_account(struct cursor *in, struct arena *a, struct account *out)
{
	struct account v = { 0 };
	v.id = cursor_u64(in);
	v.quota = cursor_u64(in);
	v.used = cursor_u64(in);
	v.messages = cursor_u64(in);
	v.created_ms = (int64_t)cursor_u64(in);
	v.inbox = cursor_u64(in);
	struct str key = cursor_take(in, PUB_LEN);
	memcpy(v.public_key, key.p, key.n);
	v.private_mode = get_bool(in);
	v.disabled = get_bool(in);
	v.address = get_text(in, WIRE_ADDRESS_MAX, a);
	v.name = get_text(in, WIRE_NAME_MAX, a);
	TRY(get_done(in, a));
	*out = v;
	return RC_OK;
}

void wire_put_accounts(struct buf *out, const struct account *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++)
		wire_put_account(out, &list[i]);
}

enum rc wire_get_accounts(struct str in, struct arena *a, struct account **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct account *list;
	size_t n;
	TRY(get_list(&c, a, ACCOUNT_LEAST, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++)
		TRY(wire_get_account(&c, a, &list[i]));
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

/* ---- ranges of UIDs: fixed-size pairs without a count, for they can be a million ---- */

void wire_put_ranges(struct buf *out, const struct uid_range *r, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_u32(out, r[i].first);
		buf_u32(out, r[i].last);
	}
}

enum rc wire_get_ranges(struct str in, struct arena *a, struct uid_range **out, size_t *out_n)
{
	if (in.n % 8)
		return RC_SYNTAX;
	size_t n = in.n / 8;
	struct uid_range *list = arena_new(a, n * sizeof *list);
	if (!list)
		return RC_NOMEM;
	struct cursor c = cursor_of(in);
	for (size_t i = 0; i < n; i++) {
		list[i].first = cursor_u32(&c);
		list[i].last = cursor_u32(&c);
		if (list[i].first == 0 || list[i].first > list[i].last)
			return RC_SYNTAX;
	}
	*out = list;
	*out_n = n;
	return RC_OK;
}

/* ---- names and ids ---- */

void wire_put_strs(struct buf *out, const struct str *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++)
		buf_run(out, list[i]);
}

static enum rc get_strs(struct cursor *c, struct arena *a, size_t max, bool copy, struct str **out, size_t *out_n)
{
	struct str *list;
	size_t n;
	TRY(get_list(c, a, 4, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++)
		list[i] = copy ? get_text(c, max, a) : cursor_run(c, max);
	if (c->failed)
		return RC_SYNTAX;
	*out = list;
	*out_n = n;
	return RC_OK;
}

enum rc wire_get_strs(struct str in, struct arena *a, struct str **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct str *list;
	size_t n;
	TRY(get_strs(&c, a, WIRE_NAME_MAX, true, &list, &n));
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

void wire_put_ids(struct buf *out, const uint64_t *list, size_t n)
{
	for (size_t i = 0; i < n; i++)
		buf_u64(out, list[i]);
}

enum rc wire_get_ids(struct str in, struct arena *a, uint64_t **out, size_t *out_n)
{
	if (in.n % 8)
		return RC_SYNTAX;
	uint64_t *list = arena_new(a, in.n);
	if (!list)
		return RC_NOMEM;
	struct cursor c = cursor_of(in);
	for (size_t i = 0; i < in.n / 8; i++)
		list[i] = cursor_u64(&c);
	*out = list;
	*out_n = in.n / 8;
	return RC_OK;
}

/* ---- deliveries ---- */

void wire_put_copies(struct buf *out, const struct store_copy *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++) {
		const struct store_copy *c = &list[i];
		buf_u64(out, c->account);
		buf_u64(out, c->box);
		buf_u32(out, c->flags);
		buf_u64(out, c->size);
		buf_u64(out, c->email_id);
		wire_put_strs(out, c->keywords, c->keyword_n);
		buf_run(out, c->record);
		buf_run(out, c->grams);
	}
}

enum rc wire_get_copies(struct str in, struct arena *a, struct store_copy **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct store_copy *list;
	size_t n;
	TRY(get_list(&c, a, 8 + 8 + 4 + 8 + 8 + 4 + 4 + 4, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++) {
		struct str *keywords;
		list[i].account = cursor_u64(&c);
		list[i].box = cursor_u64(&c);
		list[i].flags = cursor_u32(&c);
		list[i].size = cursor_u64(&c);
		list[i].email_id = cursor_u64(&c);
		TRY(get_strs(&c, a, WIRE_KEYWORD_MAX, false, &keywords, &list[i].keyword_n));
		list[i].keywords = keywords;
		list[i].record = cursor_run(&c, WIRE_RUN_MAX);
		list[i].grams = cursor_run(&c, WIRE_RUN_MAX);
	}
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

void wire_put_results(struct buf *out, const struct store_copy_result *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++) {
		buf_u8(out, (uint8_t)list[i].rc);
		buf_u32(out, list[i].uid);
		buf_u32(out, list[i].uidvalidity);
		buf_u64(out, list[i].modseq);
		buf_u64(out, list[i].box);
	}
}

enum rc wire_get_results(struct str in, struct arena *a, struct store_copy_result **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct store_copy_result *list;
	size_t n;
	TRY(get_list(&c, a, 1 + 4 + 4 + 8 + 8, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++) {
		uint8_t rc = cursor_u8(&c);
		if (rc > RC_IO)
			return RC_SYNTAX;
		list[i].rc = (enum rc)rc;
		list[i].uid = cursor_u32(&c);
		list[i].uidvalidity = cursor_u32(&c);
		list[i].modseq = cursor_u64(&c);
		list[i].box = cursor_u64(&c);
	}
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

void wire_put_epochs(struct buf *out, const struct store_epoch *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++) {
		buf_u64(out, list[i].owner);
		buf_u64(out, list[i].epoch);
		buf_run(out, list[i].sealed);
	}
}

enum rc wire_get_epochs(struct str in, struct arena *a, struct store_epoch **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct store_epoch *list;
	size_t n;
	TRY(get_list(&c, a, 8 + 8 + 4, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++) {
		list[i].owner = cursor_u64(&c);
		list[i].epoch = cursor_u64(&c);
		list[i].sealed = cursor_run(&c, WIRE_RUN_MAX);
	}
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

/* ---- folders ---- */

enum { KEYWORDS = sizeof((struct box_info *)0)->keywords / sizeof(struct str), BOX_LEAST = 8 + 4 + 4 + 1 + 4 * 5 + 4 + 8 + 8 + 1 };

void wire_put_box(struct buf *out, const struct box_info *b)
{
	buf_u64(out, b->id);
	buf_run(out, b->name);
	buf_u32(out, b->special_use);
	buf_u8(out, b->subscribed);
	buf_u8(out, b->selectable);
	buf_u32(out, b->uidvalidity);
	buf_u32(out, b->uidnext);
	buf_u32(out, b->exists);
	buf_u32(out, b->unseen);
	buf_u32(out, b->first_unseen_uid);
	buf_u32(out, b->recent_from);
	buf_u64(out, b->highestmodseq);
	buf_u64(out, b->size);
	size_t n = KEYWORDS; /* the place is the bit, so gaps are written and only the empty end is not */
	while (n && b->keywords[n - 1].n == 0)
		n--;
	buf_u8(out, (uint8_t)n);
	for (size_t i = 0; i < n; i++)
		buf_run(out, b->keywords[i]);
}

enum rc wire_get_box(struct cursor *in, struct arena *a, struct box_info *out)
{
	struct box_info v = { .id = cursor_u64(in) };
	v.name = get_text(in, WIRE_NAME_MAX, a);
	v.special_use = cursor_u32(in);
	v.subscribed = get_bool(in);
	v.selectable = get_bool(in);
	v.uidvalidity = cursor_u32(in);
	v.uidnext = cursor_u32(in);
	v.exists = cursor_u32(in);
	v.unseen = cursor_u32(in);
	v.first_unseen_uid = cursor_u32(in);
	v.recent_from = cursor_u32(in);
	v.highestmodseq = cursor_u64(in);
	v.size = cursor_u64(in);
	size_t n = cursor_u8(in);
	if (in->failed || n > KEYWORDS)
		return RC_SYNTAX;
	for (size_t i = 0; i < KEYWORDS; i++)
		v.keywords[i] = i < n ? get_text(in, WIRE_KEYWORD_MAX, a) : STR("");
	TRY(get_done(in, a));
	*out = v;
	return RC_OK;
}

void wire_put_boxes(struct buf *out, const struct box_info *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++)
		wire_put_box(out, &list[i]);
}

/* A subscribed name without a folder goes as a folder with the id 0. */
void wire_put_folders(struct buf *out, const struct box_info *list, size_t n, const struct str *names, size_t names_n)
{
	put_count(out, n + names_n);
	for (size_t i = 0; i < n; i++)
		wire_put_box(out, &list[i]);
	for (size_t i = 0; i < names_n; i++)
		wire_put_box(out, &(struct box_info){ .name = names[i], .subscribed = true });
}

enum rc wire_get_boxes(struct str in, struct arena *a, struct box_info **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct box_info *list;
	size_t n;
	TRY(get_list(&c, a, BOX_LEAST, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++)
		TRY(wire_get_box(&c, a, &list[i]));
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}

void wire_put_changes(struct buf *out, const struct box_change *list, size_t n)
{
	put_count(out, n);
	for (size_t i = 0; i < n; i++) {
		buf_u64(out, list[i].modseq);
		buf_u32(out, list[i].uid);
		buf_u8(out, list[i].expunged);
		buf_u32(out, list[i].flags);
		buf_u64(out, list[i].keywords);
	}
}

enum rc wire_get_changes(struct str in, struct arena *a, struct box_change **out, size_t *out_n)
{
	struct cursor c = cursor_of(in);
	struct box_change *list;
	size_t n;
	TRY(get_list(&c, a, 8 + 4 + 1 + 4 + 8, sizeof *list, &list, &n));
	for (size_t i = 0; i < n; i++) {
		list[i].modseq = cursor_u64(&c);
		list[i].uid = cursor_u32(&c);
		list[i].expunged = get_bool(&c);
		list[i].flags = cursor_u32(&c);
		list[i].keywords = cursor_u64(&c);
	}
	TRY(end_of(&c, a));
	*out = list;
	*out_n = n;
	return RC_OK;
}
