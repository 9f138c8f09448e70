#include "imap/glob.h"
#include "imap/internal.h"
#include "imap/utf7.h"

#include <stdlib.h>

static const struct { struct str name; uint32_t bit; } uses[] = {
	{ STR_INIT("\\Drafts"), USE_DRAFTS }, { STR_INIT("\\Sent"), USE_SENT },       { STR_INIT("\\Junk"), USE_JUNK }, { STR_INIT("\\Trash"), USE_TRASH },
	{ STR_INIT("\\Archive"), USE_ARCHIVE }, { STR_INIT("\\Flagged"), USE_FLAGGED }, { STR_INIT("\\All"), USE_ALL },
};
enum { USES = sizeof uses / sizeof *uses };

static int by_name(const void *a, const void *b)
{
	const struct imap_folder *x = a, *y = b;
	return str_cmp(x->name, y->name);
}

struct folders {
	struct imap_folder *v;
	size_t n;
	bool *is_parent;
};

static const struct imap_folder *folders_get(const struct folders *f, struct str name)
{
	struct imap_folder key = { .name = name };
	return f->n ? bsearch(&key, f->v, f->n, sizeof *f->v, by_name) : NULL;
}

/* All folders by name. `a` holds them. */
static enum rc folders_load(struct session *s, struct arena *a, struct folders *out, struct why *why)
{
	*out = (struct folders){ 0 };
	TRY(s->hooks->folders(s->hooks->house, a, &out->v, &out->n, why));
	if (out->n)
		qsort(out->v, out->n, sizeof *out->v, by_name);
	out->is_parent = arena_new(a, out->n + 1);
	if (!out->is_parent)
		return RC_NOMEM;
	for (size_t i = 0; i < out->n; i++) {
		struct str name = out->v[i].name;
		size_t k = out->v[i].exists ? name.n : 0;
		while (k && name.p[k - 1] != '/')
			k--;
		const struct imap_folder *parent = k ? folders_get(out, str_head(name, k - 1)) : NULL;
		if (parent)
			out->is_parent[parent - out->v] = true;
	}
	return RC_OK;
}

enum rc folder_find(struct session *s, struct str name, struct imap_folder *out, struct why *why)
{
	struct arena a;
	struct imap_folder *v;
	size_t n;
	arena_init(&a, HOUSE_ARENA_MAX);
	enum rc rc = s->hooks->folders(s->hooks->house, &a, &v, &n, why);
	if (rc == RC_OK) {
		rc = RC_NOTFOUND;
		for (size_t i = 0; i < n && rc != RC_OK; i++)
			if (v[i].exists && str_eq(v[i].name, name)) {
				*out = v[i];
				out->name = name;
				rc = RC_OK;
			}
		if (rc != RC_OK)
			*why = (struct why){ .rc = rc, .text = "no such mailbox" };
	}
	arena_done(&a);
	return rc;
}

/* ---- LIST and LSUB ---- */

struct listing {
	struct str verb;                /* "LIST" or "LSUB" */
	struct str *patterns;           /* UTF-8, reference included */
	size_t pattern_n;
	bool only_subscribed, only_special, tell_subscribed, is_lsub;
};

static void list_line(struct out *o, const struct listing *l, const struct imap_folder *f, bool has_children)
{
	out_put(o, STR("* "));
	out_put(o, l->verb);
	out_put(o, STR(" ("));
	out_put(o, has_children ? STR("\\HasChildren") : STR("\\HasNoChildren"));
	if (!f->exists && !l->is_lsub)
		out_put(o, STR(" \\NonExistent")); /* RFC 5258 3 */
	else if (!f->exists || !f->selectable)
		out_put(o, STR(" \\Noselect"));
	if (l->tell_subscribed && f->subscribed)
		out_put(o, STR(" \\Subscribed"));
	for (size_t i = 0; i < USES; i++)
		if (f->special_use & uses[i].bit) {
			out_put(o, STR(" "));
			out_put(o, uses[i].name);
		}
	out_put(o, STR(") \"/\" "));
	out_mailbox(o, f->name);
	out_put(o, STR("\r\n"));
	out_flush(o);
}

static bool listing_matches(const struct listing *l, struct str name)
{
	for (size_t i = 0; i < l->pattern_n; i++)
		if (glob_match(l->patterns[i], name))
			return true;
	return false;
}

/* RFC 3501 6.3.9: if "foo/bar" is subscribed and "foo" is not, LSUB "" "%" must return foo with \Noselect. Names come in order, so all
 * below "foo/" follow each other, and only the first of them tells foo: `last` is the name this was asked about before. */
static void lsub_parents(struct out *o, const struct listing *l, const struct folders *f, struct str name, struct str last)
{
	for (size_t k = 0; k < name.n; k++) {
		struct imap_folder parent = { .name = str_head(name, k) };
		if (name.p[k] != '/')
			continue;
		const struct imap_folder *there = folders_get(f, parent.name);
		if ((there && there->subscribed) || str_starts(last, str_head(name, k + 1)) || !listing_matches(l, parent.name))
			continue;
		list_line(o, l, &parent, true);
	}
}

static void list_answer(struct session *s, const struct listing *l)
{
	struct arena a;
	struct folders f;
	struct why why = { 0 };
	struct out o = { .io = s->io };
	struct str last = STR("");
	arena_init(&a, HOUSE_ARENA_MAX);
	enum rc rc = folders_load(s, &a, &f, &why);
	for (size_t i = 0; rc == RC_OK && i < f.n; i++) {
		const struct imap_folder *folder = &f.v[i];
		if ((l->only_subscribed && !folder->subscribed) || (l->only_special && !folder->special_use))
			continue;
		if (!folder->exists && !l->only_subscribed)
			continue;
		if (listing_matches(l, folder->name)) {
			list_line(&o, l, folder, f.is_parent[i]);
		} else if (l->is_lsub) {
			lsub_parents(&o, l, &f, folder->name, last);
			last = folder->name;
		}
	}
	if (rc == RC_OK)
		answer_ok(s, "done");
	else
		answer_failure(s, rc, &why, "the folders cannot be listed now");
	arena_done(&a);
}

/* The pattern behind its reference, in UTF-8. */
static struct str take_pattern(struct args *a, struct str reference)
{
	AUTO(buf_done) struct buf joined, utf8;
	struct str pattern = args_pattern(a);
	buf_init(&joined, 2 * GLOB_PATTERN_MAX);
	buf_init(&utf8, GLOB_PATTERN_MAX);
	buf_add(&joined, reference);
	buf_add(&joined, pattern);
	if (args_fine(a) && (joined.failed || utf7_decode(buf_str(&joined), &utf8) != RC_OK))
		args_fail(a, "a pattern in modified UTF-7 of at most 1024 octets");
	return mailbox_canonical(arena_str(a->arena, buf_str(&utf8)), a->arena);
}

/* "(SPECIAL-USE SUBSCRIBED)" before, "RETURN (SPECIAL-USE SUBSCRIBED CHILDREN)" after (RFC 6154 3, RFC 5258). */
static void take_options(struct args *a, struct listing *l, bool selection)
{
	args_want(a, '(');
	bool first = true;
	while (args_fine(a) && !args_maybe(a, ')')) {
		if (!first)
			args_space(a);
		first = false;
		if (args_word(a, STR("SPECIAL-USE"))) {
			l->only_special |= selection;
		} else if (args_word(a, STR("SUBSCRIBED"))) {
			l->only_subscribed |= selection;
			l->tell_subscribed = true;
		} else if (selection || !args_word(a, STR("CHILDREN"))) {
			args_fail(a, "SPECIAL-USE, SUBSCRIBED or CHILDREN");
		}
	}
}

static void take_patterns(struct args *a, struct listing *l, struct str reference)
{
	enum { PATTERNS_MAX = 16 };
	l->patterns = arena_new(a->arena, PATTERNS_MAX * sizeof *l->patterns);
	if (!l->patterns) {
		args_fail(a, "less (out of memory)");
	} else if (!l->is_lsub && args_maybe(a, '(')) {
		do {
			if (l->pattern_n == PATTERNS_MAX)
				args_fail(a, "at most 16 patterns");
			else
				l->patterns[l->pattern_n++] = take_pattern(a, reference);
		} while (args_maybe(a, ' '));
		args_want(a, ')');
	} else {
		l->patterns[l->pattern_n++] = take_pattern(a, reference);
	}
}

static void list(struct session *s, struct args *a, struct listing *l)
{
	args_space(a);
	if (!l->is_lsub && args_next_is(a, '(')) {
		take_options(a, l, true);
		args_space(a);
	}
	struct str reference = args_astring(a);
	args_space(a);
	bool asks_delimiter = str_eq(a->in, STR("\"\""));
	take_patterns(a, l, reference);
	if (!l->is_lsub && args_maybe(a, ' ')) {
		if (!args_word(a, STR("RETURN")))
			args_fail(a, "RETURN");
		args_space(a);
		take_options(a, l, false);
	}
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
	} else if (asks_delimiter) {
		/* RFC 3501 6.3.8: an empty pattern asks for the delimiter and the root of the reference. */
		stream_write(s->io, STR("* "));
		stream_write(s->io, l->verb);
		stream_write(s->io, STR(" (\\Noselect) \"/\" \"\"\r\n"));
		answer_ok(s, "done");
	} else {
		list_answer(s, l);
	}
}

void do_list(struct session *s, struct args *a) { list(s, a, &(struct listing){ .verb = STR("LIST") }); }
void do_lsub(struct session *s, struct args *a)
{
	list(s, a, &(struct listing){ .verb = STR("LSUB"), .is_lsub = true, .only_subscribed = true });
}

/* ---- STATUS ---- */

enum { ST_MESSAGES = 1, ST_RECENT = 2, ST_UIDNEXT = 4, ST_UIDVALIDITY = 8, ST_UNSEEN = 16, ST_APPENDLIMIT = 32 };
static const struct { struct str name; unsigned bit; } status_items[] = {
	{ STR_INIT("MESSAGES"), ST_MESSAGES },       { STR_INIT("RECENT"), ST_RECENT }, { STR_INIT("UIDNEXT"), ST_UIDNEXT },
	{ STR_INIT("UIDVALIDITY"), ST_UIDVALIDITY }, { STR_INIT("UNSEEN"), ST_UNSEEN }, { STR_INIT("APPENDLIMIT"), ST_APPENDLIMIT },
};
enum { STATUS_ITEMS = sizeof status_items / sizeof *status_items };

static unsigned take_status_items(struct args *a)
{
	unsigned wanted = 0;
	args_want(a, '(');
	do {
		struct str word = args_atom(a);
		size_t i = 0;
		while (i < STATUS_ITEMS && !str_ieq(word, status_items[i].name))
			i++;
		if (i < STATUS_ITEMS)
			wanted |= status_items[i].bit;
		else
			args_fail(a, "MESSAGES, RECENT, UIDNEXT, UIDVALIDITY, UNSEEN or APPENDLIMIT");
	} while (args_fine(a) && args_maybe(a, ' '));
	args_want(a, ')');
	return wanted;
}

static void status_line(struct session *s, struct str name, unsigned wanted, const struct imap_box *box, uint64_t recent)
{
	const uint64_t values[STATUS_ITEMS] = { box->exists, recent, box->uidnext, box->uidvalidity, box->unseen, s->config->max_append };
	struct out o = { .io = s->io };
	bool first = true;
	out_put(&o, STR("* STATUS "));
	out_mailbox(&o, name);
	out_put(&o, STR(" ("));
	for (size_t i = 0; i < STATUS_ITEMS; i++) {
		if (!(wanted & status_items[i].bit))
			continue;
		if (!first)
			out_put(&o, STR(" "));
		first = false;
		out_put(&o, status_items[i].name);
		out_put(&o, STR(" "));
		out_num(&o, values[i]);
	}
	out_put(&o, STR(")\r\n"));
	out_flush(&o);
}

void do_status(struct session *s, struct args *a)
{
	struct imap_folder folder;
	struct imap_box box = { 0 };
	struct why why = { 0 };
	args_space(a);
	struct str name = args_mailbox(a);
	args_space(a);
	unsigned wanted = take_status_items(a);
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	enum rc rc = folder_find(s, name, &folder, &why);
	if (rc == RC_OK && !folder.selectable)
		rc = RC_NOTFOUND;
	if (rc == RC_OK)
		rc = s->hooks->status(s->hooks->house, folder.id, &s->arena, &box, &why);
	uint64_t recent = 0;
	if (rc == RC_OK && wanted & ST_RECENT)
		rc = recent_status(s, &box, &recent, &why);
	if (rc != RC_OK) {
		answer_failure(s, rc, &why, "no such mailbox");
		return;
	}
	status_line(s, name, wanted, &box, recent);
	answer_ok(s, "done");
}

/* ---- changing folders ---- */

static bool level_is_sound(struct str level)
{
	for (size_t i = 0; i < level.n; i++) {
		char c = level.p[i];
		if ((unsigned char)c < ' ' || c == 0x7f || c == '*' || c == '%')
			return false;
	}
	return level.n > 0 && level.n <= 255 && !str_eq(level, STR(".")) && !str_eq(level, STR(".."));
}

/* A name that may come into being: no empty level, no wildcard, no control character, levels of at most 255 octets. Nor "." and "..": clients
 * that keep folders as directories take them for an attack and stop (mbsync: no mail of the whole account any more). */
static bool name_is_sound(struct str name)
{
	struct str level, rest = name;
	bool more;
	do {
		more = str_cut(rest, '/', &level, &rest);
		if (!level_is_sound(level))
			return false;
	} while (more);
	return true;
}

/* RFC 3501 6.3.3: a trailing delimiter only declares that names will be made below. */
static struct str take_new_name(struct args *a)
{
	struct str name = args_mailbox(a);
	if (name.n > 1 && name.p[name.n - 1] == '/')
		name.n--;
	return name;
}

static uint32_t take_uses(struct args *a, bool *out_known)
{
	uint32_t bits = 0;
	if (!args_word(a, STR("USE")))
		args_fail(a, "USE");
	args_space(a);
	args_want(a, '(');
	do {
		struct str start = a->in;
		args_want(a, '\\');
		struct str word = args_atom(a);
		struct str full = { start.p, word.n + 1 };
		size_t i = 0;
		while (args_fine(a) && i < USES && !str_ieq(full, uses[i].name))
			i++;
		if (!args_fine(a))
			break;
		if (i < USES)
			bits |= uses[i].bit;
		else
			*out_known = false;
	} while (args_maybe(a, ' '));
	args_want(a, ')');
	return bits;
}

void do_create(struct session *s, struct args *a)
{
	struct why why = { 0 };
	uint32_t use = 0;
	bool use_known = true;
	args_space(a);
	struct str name = take_new_name(a);
	if (args_maybe(a, ' ')) {
		args_want(a, '(');
		use = take_uses(a, &use_known);
		args_want(a, ')');
	}
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
	} else if (!use_known) {
		answer_no(s, "[USEATTR] no such special use");
	} else if (str_eq(name, STR("INBOX"))) {
		answer_no(s, "[ALREADYEXISTS] INBOX is always there");
	} else if (!name_is_sound(name)) {
		answer_no(s, "[CANNOT] a mailbox name has no wildcard or control character, and levels of 1 to 255 octets but \".\" and \"..\"");
	} else {
		enum rc rc = s->hooks->create(s->hooks->house, name, use, &why);
		if (rc == RC_OK)
			answer_ok(s, "made");
		else
			answer_failure(s, rc, &why, rc == RC_EXISTS ? "it exists" : "not made");
	}
}

void do_delete(struct session *s, struct args *a)
{
	struct imap_folder folder = { 0 };
	struct why why = { 0 };
	args_space(a);
	struct str name = args_mailbox(a);
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	if (str_eq(name, STR("INBOX"))) {
		answer_no(s, "[CANNOT] INBOX stays");
		return;
	}
	enum rc rc = folder_find(s, name, &folder, &why);
	if (rc == RC_OK)
		rc = s->hooks->remove(s->hooks->house, name, &why);
	if (rc != RC_OK) {
		answer_failure(s, rc, &why, rc == RC_NOTFOUND ? "no such mailbox" : "not deleted");
		return;
	}
	if (s->state == SELECTED && s->box.id == folder.id)
		selected_drop(s);
	answer_ok(s, "deleted");
}

void do_rename(struct session *s, struct args *a)
{
	struct why why = { 0 };
	args_space(a);
	struct str from = args_mailbox(a);
	args_space(a);
	struct str to = take_new_name(a);
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
	} else if (!name_is_sound(to)) {
		answer_no(s, "[CANNOT] a mailbox name has no wildcard or control character, and levels of 1 to 255 octets but \".\" and \"..\"");
	} else if (str_eq(to, STR("INBOX"))) {
		answer_no(s, "[ALREADYEXISTS] INBOX is always there");
	} else if (str_starts(to, from) && to.n > from.n && to.p[from.n] == '/' && !str_eq(from, STR("INBOX"))) {
		answer_no(s, "[CANNOT] a mailbox cannot move below itself");
	} else {
		enum rc rc = s->hooks->rename(s->hooks->house, from, to, &why);
		if (rc == RC_OK)
			answer_ok(s, "renamed");
		else
			answer_failure(s, rc, &why, rc == RC_NOTFOUND ? "no such mailbox" : rc == RC_EXISTS ? "the new name exists" : "not renamed");
	}
}

static void subscribe(struct session *s, struct args *a, bool on)
{
	struct why why = { 0 };
	args_space(a);
	struct str name = args_mailbox(a);
	args_end(a);
	if (!args_fine(a)) {
		answer_syntax(s, a);
		return;
	}
	if (on && !name_is_sound(name)) {
		answer_no(s, "[CANNOT] a mailbox name has no wildcard or control character, and levels of 1 to 255 octets but \".\" and \"..\"");
		return;
	}
	enum rc rc = s->hooks->subscribe(s->hooks->house, name, on, &why);
	if (rc == RC_OK)
		answer_ok(s, "done");
	else
		answer_failure(s, rc, &why, rc == RC_NOTFOUND ? "no such mailbox" : "not done");
}

void do_subscribe(struct session *s, struct args *a) { subscribe(s, a, true); }
void do_unsubscribe(struct session *s, struct args *a) { subscribe(s, a, false); }
