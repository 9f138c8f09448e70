#include "imap/fetch.h"

enum { LABEL_MAX = 70 << 10 };

static const struct { struct str word; enum section_what what; } texts[] = {
	{ STR_INIT("HEADER.FIELDS.NOT"), SECTION_FIELDS_NOT }, { STR_INIT("HEADER.FIELDS"), SECTION_FIELDS }, { STR_INIT("HEADER"), SECTION_HEADER },
	{ STR_INIT("TEXT"), SECTION_TEXT },                    { STR_INIT("MIME"), SECTION_MIME },
};

static bool is_field_name(struct str s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] >= 0x7f || s.p[i] == ':')
			return false;
	return s.n > 0;
}

static void add_field(struct buf *label, struct str name)
{
	bool atom = true;
	for (size_t i = 0; i < name.n; i++)
		atom &= is_atom_char(name.p[i]);
	if (atom) {
		buf_add(label, name);
		return;
	}
	buf_byte(label, '"');
	for (size_t i = 0; i < name.n; i++) {
		if (name.p[i] == '"' || name.p[i] == '\\')
			buf_byte(label, '\\');
		buf_byte(label, name.p[i]);
	}
	buf_byte(label, '"');
}

static void take_fields(struct args *a, struct section *out, struct buf *label)
{
	out->fields = arena_new(a->arena, FIELDS_MAX * sizeof *out->fields);
	if (!out->fields)
		args_fail(a, "less (out of memory)");
	args_space(a);
	args_want(a, '(');
	buf_add(label, STR(" ("));
	do {
		struct str name = args_astring(a);
		if (!args_fine(a))
			return;
		if (out->field_n == FIELDS_MAX || !is_field_name(name)) {
			args_fail(a, "at most 256 header field names");
			return;
		}
		if (out->field_n)
			buf_byte(label, ' ');
		add_field(label, name);
		out->fields[out->field_n++] = name;
	} while (args_maybe(a, ' '));
	args_want(a, ')');
	buf_byte(label, ')');
}

/* RFC 3501 9: section-part = nz-number *("." nz-number). True: a dot and a word follow. */
static bool take_path(struct args *a, struct section *out, struct buf *label)
{
	uint32_t path[SECTION_DEPTH_MAX];
	bool more = args_fine(a) && a->in.n && ascii_digit(a->in.p[0]);
	bool word = !more && !args_next_is(a, ']');
	while (more) {
		uint32_t v = args_number(a);
		if (v == 0 || out->path_n == SECTION_DEPTH_MAX) {
			args_fail(a, "at most 100 part numbers from 1 on");
			return false;
		}
		if (out->path_n)
			buf_byte(label, '.');
		buf_num(label, v);
		path[out->path_n++] = v;
		more = false;
		if (args_maybe(a, '.')) {
			more = a->in.n && ascii_digit(a->in.p[0]);
			word = !more;
		}
	}
	if (!out->path_n)
		return word;
	out->path = arena_new(a->arena, out->path_n * sizeof *out->path);
	if (!out->path)
		args_fail(a, "less (out of memory)");
	else
		memcpy(out->path, path, out->path_n * sizeof *path);
	if (word)
		buf_byte(label, '.');
	return word;
}

static void take_partial(struct args *a, struct section *out, struct buf *label)
{
	if (!args_maybe(a, '<'))
		return;
	out->is_partial = true;
	out->offset = args_number(a);
	args_want(a, '.');
	out->length = args_number(a);
	args_want(a, '>');
	/* RFC 3501 9: partial = "<" number "." nz-number ">"; the answer has the origin octet only. */
	if (out->length == 0)
		args_fail(a, "a number of octets from 1 on");
	buf_byte(label, '<');
	buf_num(label, out->offset);
	buf_byte(label, '>');
}

void section_parse(struct args *a, struct section *out, struct buf *label)
{
	*out = (struct section){ 0 };
	args_want(a, '[');
	buf_byte(label, '[');
	if (take_path(a, out, label)) {
		size_t i = 0, n = sizeof texts / sizeof *texts;
		while (i < n && !args_word(a, texts[i].word))
			i++;
		/* args_word() wants a whole atom, and "]" ends one. */
		if (i == n || (texts[i].what == SECTION_MIME && !out->path_n)) {
			args_fail(a, "HEADER, HEADER.FIELDS, HEADER.FIELDS.NOT, TEXT, or MIME after a part number");
			return;
		}
		out->what = texts[i].what;
		buf_add(label, texts[i].word);
		if (out->what == SECTION_FIELDS || out->what == SECTION_FIELDS_NOT)
			take_fields(a, out, label);
	}
	args_want(a, ']');
	buf_byte(label, ']');
	take_partial(a, out, label);
}

/* ---- items ---- */

static const struct simple {
	struct str word;
	enum item_kind kind;
	unsigned want;
} simple_items[] = {
	{ STR_INIT("UID"), ITEM_UID, WANT_STATE },
	{ STR_INIT("FLAGS"), ITEM_FLAGS, WANT_STATE },
	{ STR_INIT("INTERNALDATE"), ITEM_INTERNALDATE, WANT_STATE | WANT_HEAD },
	{ STR_INIT("RFC822.SIZE"), ITEM_SIZE, WANT_STATE },
	{ STR_INIT("ENVELOPE"), ITEM_ENVELOPE, WANT_HEAD },
	{ STR_INIT("BODYSTRUCTURE"), ITEM_BODYSTRUCTURE, WANT_RECORD },
	{ STR_INIT("BODY"), ITEM_BODY, WANT_RECORD },
};
enum { SIMPLE_ITEMS = sizeof simple_items / sizeof *simple_items };

/* RFC 3501 6.4.5: macros, how many of the items above they stand for; and the old names of sections. */
static const struct { struct str word; enum item_kind kinds[5]; size_t n; } macros[] = {
	{ STR_INIT("ALL"), { ITEM_FLAGS, ITEM_INTERNALDATE, ITEM_SIZE, ITEM_ENVELOPE }, 4 },
	{ STR_INIT("FAST"), { ITEM_FLAGS, ITEM_INTERNALDATE, ITEM_SIZE }, 3 },
	{ STR_INIT("FULL"), { ITEM_FLAGS, ITEM_INTERNALDATE, ITEM_SIZE, ITEM_ENVELOPE, ITEM_BODY }, 5 },
};
static const struct { struct str word; enum section_what what; bool peek; } old_names[] = {
	{ STR_INIT("RFC822.HEADER"), SECTION_HEADER, true },
	{ STR_INIT("RFC822.TEXT"), SECTION_TEXT, false },
	{ STR_INIT("RFC822"), SECTION_ALL, false },
};

static void add_item(struct args *a, struct fetch *out, struct item item, unsigned want)
{
	if (out->n == FETCH_ITEMS_MAX) {
		args_fail(a, "at most 256 items");
		return;
	}
	out->items[out->n++] = item;
	out->want |= want;
}

static void add_simple(struct args *a, struct fetch *out, enum item_kind kind)
{
	for (size_t i = 0; i < SIMPLE_ITEMS; i++)
		if (simple_items[i].kind == kind)
			add_item(a, out, (struct item){ .kind = kind, .label = simple_items[i].word }, simple_items[i].want);
}

static void add_section(struct args *a, struct fetch *out, struct section sec, struct str label, bool peek)
{
	bool whole = !sec.path_n && sec.what == SECTION_ALL;
	out->sets_seen |= !peek;
	add_item(a, out, (struct item){ ITEM_SECTION, sec, label },
	         WANT_STATE | WANT_BODY | (whole ? 0 : WANT_RECORD));
}

static void take_section(struct args *a, struct fetch *out, bool peek)
{
	AUTO(buf_done) struct buf label;
	struct section sec;
	buf_init(&label, LABEL_MAX);
	buf_add(&label, STR("BODY"));
	section_parse(a, &sec, &label);
	struct str kept = arena_str(a->arena, buf_str(&label));
	if (label.failed || !kept.n)
		args_fail(a, "less (out of memory)");
	if (args_fine(a))
		add_section(a, out, sec, kept, peek);
}

static void take_item(struct args *a, struct fetch *out)
{
	if (str_istarts(a->in, STR("BODY[")) || str_istarts(a->in, STR("BODY.PEEK["))) {
		bool peek = a->in.p[4] == '.';
		a->in = str_skip(a->in, peek ? 9 : 4);
		take_section(a, out, peek);
		return;
	}
	for (size_t i = 0; i < SIMPLE_ITEMS; i++)
		if (args_word(a, simple_items[i].word)) {
			add_simple(a, out, simple_items[i].kind);
			return;
		}
	for (size_t i = 0; i < sizeof old_names / sizeof *old_names; i++)
		if (args_word(a, old_names[i].word)) {
			add_section(a, out, (struct section){ .what = old_names[i].what }, old_names[i].word, old_names[i].peek);
			return;
		}
	args_fail(a, "an item that can be fetched");
}

static void drop_second_uid(struct fetch *out)
{
	size_t k = 1;
	for (size_t i = 1; i < out->n; i++)
		if (out->items[i].kind != ITEM_UID)
			out->items[k++] = out->items[i];
	out->n = k;
}

void fetch_parse(struct args *a, bool by_uid, struct fetch *out)
{
	*out = (struct fetch){ .items = arena_new(a->arena, FETCH_ITEMS_MAX * sizeof *out->items) };
	if (!out->items) {
		args_fail(a, "less (out of memory)");
		return;
	}
	/* RFC 3501 6.4.8: the answer to UID FETCH has the UID, asked for or not. */
	if (by_uid)
		add_simple(a, out, ITEM_UID);
	for (size_t i = 0; i < sizeof macros / sizeof *macros; i++) {
		if (!args_word(a, macros[i].word))
			continue;
		for (size_t k = 0; k < macros[i].n; k++)
			add_simple(a, out, macros[i].kinds[k]);
		return;
	}
	if (!args_maybe(a, '(')) {
		take_item(a, out);
	} else {
		do
			take_item(a, out);
		while (args_fine(a) && args_maybe(a, ' '));
		args_want(a, ')');
	}
	if (by_uid)
		drop_second_uid(out);
}
