/* Vectors of other projects, read where they lie (never copied): mime4j, MIME-tools, mail-parser, isemail. */
#include "base/codec.h"
#include "mail/address.h"
#include "mail/digest.h"
#include "mail/mime.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { FILE_MAX_OCTETS = 8 << 20 };

static const char *root(void)
{
	const char *env = getenv("LETTERLOCK_TESTDATA");
	return env ? env : TESTDATA_DEFAULT;
}

static bool have_data(void)
{
	char path[512];
	snprintf(path, sizeof path, "%s/mime", root());
	return access(path, R_OK) == 0;
}

#define NEED_DATA()                                                                           \
	do {                                                                                  \
		if (!have_data()) {                                                           \
			print_message("skipped: no test data at %s\n", root());               \
			skip();                                                               \
		}                                                                             \
	} while (0)

static bool slurp(const char *dir, const char *name, struct buf *out)
{
	char path[1024];
	snprintf(path, sizeof path, "%s/mime/%s/%s", root(), dir, name);
	FILE *f = fopen(path, "rb");
	buf_init(out, FILE_MAX_OCTETS);
	if (!f)
		return false;
	while (buf_room(out, 65536)) {
		size_t n = fread(out->p + out->len, 1, 65536, f);
		if (n == 0)
			break;
		out->len += n;
	}
	(void)fclose(f);
	return !out->failed;
}

/* ---- trees as text: L leaf, M[...] multipart, R(...) embedded message ---- */
static void our_tree(const struct mime_tree *t, struct buf *out)
{
	uint32_t i = 0;
	for (;;) {
		const struct mime_part *p = &t->part[i];
		buf_add(out, p->kind == MAIL_LEAF ? STR("L") : p->kind == MAIL_MULTIPART ? STR("M[") : STR("R("));
		if (p->bodiless)
			buf_add(out, STR("]"));
		else if (p->first_child != MIME_NONE) {
			i = p->first_child;
			continue;
		}
		while (p->next == MIME_NONE && p->parent != MIME_NONE) {
			p = &t->part[p->parent];
			buf_add(out, p->kind == MAIL_MULTIPART ? STR("]") : STR(")"));
		}
		if (p->next == MIME_NONE)
			return;
		i = p->next;
	}
}

struct wanted {
	struct buf tree;
	struct str leaf[64]; /* file names of decoded leaves in order */
	size_t leaves;
};

static void their_tree(struct str xml, struct wanted *w)
{
	unsigned messages = 0;
	for (size_t i = 0; i < xml.n; i++) {
		i += str_find(str_skip(xml, i), '<');
		struct str tag = str_skip(xml, i);
		if (str_starts(tag, STR("<message>"))) {
			if (messages++)
				buf_add(&w->tree, STR("R("));
		} else if (str_starts(tag, STR("</message>"))) {
			if (--messages)
				buf_add(&w->tree, STR(")"));
		} else if (str_starts(tag, STR("<multipart>"))) {
			buf_add(&w->tree, STR("M["));
		} else if (str_starts(tag, STR("</multipart>"))) {
			buf_add(&w->tree, STR("]"));
		} else if (str_starts(tag, STR("<text-body")) || str_starts(tag, STR("<binary-body"))) {
			size_t from = str_find(tag, '"') + 1;
			assert_true(w->leaves < 64);
			w->leaf[w->leaves++] = str_head(str_skip(tag, from), str_find(str_skip(tag, from), '"'));
			buf_add(&w->tree, STR("L"));
		}
	}
}

/* Line ends aside: some of the outputs were made on systems that change them. */
static bool same_text(struct str a, struct str b)
{
	size_t i = 0, j = 0;
	for (;;) {
		while (i < a.n && a.p[i] == '\r')
			i++;
		while (j < b.n && b.p[j] == '\r')
			j++;
		if (i >= a.n || j >= b.n)
			return i >= a.n && j >= b.n;
		if (a.p[i++] != b.p[j++])
			return false;
	}
}

static const struct { const char *name, *why; } exceptions[] = {
#include "exceptions.inc"
};

static bool is_exception(const char *name)
{
	for (size_t i = 0; i < sizeof exceptions / sizeof exceptions[0]; i++)
		if (strcmp(exceptions[i].name, name) == 0)
			return true;
	return false;
}

static bool leaves_equal(const char *dir, const struct mime_tree *t, const struct wanted *w)
{
	size_t k = 0;
	bool ok = true;
	for (uint32_t i = 0; i < t->n && k < w->leaves; i++) {
		const struct mime_part *p = &t->part[i];
		struct buf want, got;
		char name[256];
		if (p->kind != MAIL_LEAF || (p->parent != MIME_NONE && t->part[p->parent].bodiless))
			continue;
		snprintf(name, sizeof name, "%.*s", PSTR(w->leaf[k]));
		k++;
		buf_init(&got, FILE_MAX_OCTETS);
		assert_true(slurp(dir, name, &want));
		transfer_decode(p->encoding == TRANSFER_UUENCODE ? TRANSFER_BINARY : p->encoding, mime_body(t, p), &got);
		ok &= same_text(buf_str(&want), buf_str(&got));
		buf_done(&want);
		buf_done(&got);
	}
	return ok;
}

static void compare_folder(const char *dir, unsigned least)
{
	char path[512];
	unsigned same = 0, differ = 0, surprises = 0;
	snprintf(path, sizeof path, "%s/mime/%s", root(), dir);
	DIR *d = opendir(path);
	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));) {
		struct str name = str_z(e->d_name);
		struct buf msg, xml, tree;
		char stem[200], other[256];
		struct wanted w = { .leaves = 0 };
		struct mime_tree t;
		struct mail_digest dg;
		if (!str_ends(name, STR(".msg")))
			continue;
		snprintf(stem, sizeof stem, "%.*s", (int)name.n - 4, e->d_name);
		snprintf(other, sizeof other, "%s_decoded.xml", stem);
		assert_true(slurp(dir, e->d_name, &msg) && slurp(dir, other, &xml));
		buf_init(&tree, 65536);
		buf_init(&w.tree, 65536);
		their_tree(buf_str(&xml), &w);
		assert_int_equal(mime_parse(buf_str(&msg), &mail_limits_default, &t, NULL), RC_OK);
		assert_int_equal(mail_digest(buf_str(&msg), NULL, &dg, NULL), RC_OK);
		mail_digest_done(&dg);
		our_tree(&t, &tree);
		bool trees = str_eq(buf_str(&tree), buf_str(&w.tree)), ok = trees && leaves_equal(dir, &t, &w);
		if (ok)
			same++;
		else
			differ++;
		if (!ok && !is_exception(stem)) {
			surprises++;
			print_error("%s/%s: %s differs; ours %.*s theirs %.*s\n", dir, stem, trees ? "text" : "tree", PSTR(buf_str(&tree)), PSTR(buf_str(&w.tree)));
		}
		mime_done(&t);
		buf_done(&msg);
		buf_done(&xml);
		buf_done(&tree);
		buf_done(&w.tree);
	}
	closedir(d);
	print_message("%s: %u same, %u differ with a reason\n", dir, same, differ - surprises);
	assert_int_equal(surprises, 0);
	assert_true(same >= least);
}

static void mime4j_messages_give_the_same_tree_and_octets(void **state)
{
	NEED_DATA();
	compare_folder("mime4j", 20);
}

static void mime_tools_messages_give_the_same_tree_and_octets(void **state)
{
	NEED_DATA();
	compare_folder("mime-tools", 35);
}

/* ---- mail-parser's nested message: offsets of every part ---- */
static uint64_t json_number(struct str *s, const char *name)
{
	char key[64];
	snprintf(key, sizeof key, "\"%s\": ", name);
	size_t k = str_find_str(*s, str_z(key));
	assert_true(k < s->n);
	*s = str_skip(*s, k + strlen(key));
	uint64_t v = 0;
	size_t n = 0;
	while (n < s->n && ascii_digit(s->p[n]))
		v = v * 10 + (uint64_t)(s->p[n++] - '0');
	return v;
}

static void body_offsets_are_those_of_mail_parser(void **state)
{
	struct buf msg, json;
	struct mime_tree t;
	NEED_DATA();
	assert_true(slurp("mail-parser-rfc", "009.eml", &msg) && slurp("mail-parser-rfc", "009.json", &json));
	assert_int_equal(mime_parse(buf_str(&msg), &mail_limits_default, &t, NULL), RC_OK);
	struct str rest = buf_str(&json);
	unsigned seen = 0;
	for (;;) {
		/* of each part the three offsets stand together, after its body */
		size_t k = str_find_str(rest, STR("\"offset_header\": "));
		if (k == rest.n)
			break;
		uint64_t header = json_number(&rest, "offset_header"), body = json_number(&rest, "offset_body");
		bool found = false;
		for (uint32_t i = 0; i < t.n; i++)
			found |= t.part[i].header_off == header && t.part[i].body_off == body;
		if (!found)
			print_error("no part with header %llu body %llu\n", (unsigned long long)header, (unsigned long long)body);
		assert_true(found);
		seen++;
	}
	assert_true(seen > 3);
	mime_done(&t);
	buf_done(&msg);
	buf_done(&json);
}

/* ---- isemail ---- */
static struct str element(struct str test, const char *name)
{
	char open[40], close[40];
	snprintf(open, sizeof open, "<%s>", name);
	snprintf(close, sizeof close, "</%s>", name);
	size_t k = str_find_str(test, str_z(open));
	if (k == test.n)
		return STR("");
	struct str s = str_skip(test, k + strlen(open));
	return str_head(s, str_find_str(s, str_z(close)));
}

static void utf8_add(uint32_t c, struct buf *out)
{
	if (c < 0x80) {
		buf_byte(out, (char)c);
	} else {
		assert_true(c < 0x800);
		buf_byte(out, (char)(0xc0 | c >> 6));
		buf_byte(out, (char)(0x80 | (c & 63)));
	}
}

/* XML references, and the pictures of controls (U+2400 + code). */
static void plain_address(struct str xml, struct buf *out)
{
	static const struct { struct str name; char c; } refs[] = {
		{ STR_INIT("&amp;"), '&' }, { STR_INIT("&lt;"), '<' }, { STR_INIT("&gt;"), '>' }, { STR_INIT("&quot;"), '"' }, { STR_INIT("&apos;"), '\'' },
	};
	while (xml.n) {
		uint32_t c = 0;
		size_t n = utf8_next(xml, &c);
		for (size_t i = 0; c == '&' && i < sizeof refs / sizeof refs[0]; i++)
			if (str_istarts(xml, refs[i].name)) {
				c = (unsigned char)refs[i].c;
				n = refs[i].name.n;
				break;
			}
		if (c == '&' && str_istarts(xml, STR("&#x"))) {
			char digits[8] = { 0 };
			size_t end = str_find(xml, ';');
			assert_true(end < 9);
			memcpy(digits, xml.p + 3, end - 3);
			c = (uint32_t)strtoul(digits, NULL, 16);
			utf8_add(c >= 0x2400 && c < 0x2420 ? c - 0x2400 : c, out);
			xml = str_skip(xml, end + 1);
			continue;
		}
		if (c >= 0x2400 && c < 0x2420)
			buf_byte(out, (char)(c - 0x2400));
		else
			buf_add(out, n == 1 || c < 0x80 ? (struct str){ &(char){ (char)c }, 1 } : str_head(xml, n));
		xml = str_skip(xml, n ? n : 1);
	}
}

static void isemail_verdicts_are_ours(void **state)
{
	struct buf file;
	unsigned cases = 0, wrong = 0;
	NEED_DATA();
	assert_true(slurp("isemail", "tests.xml", &file));
	struct str rest = buf_str(&file);
	for (;;) {
		size_t k = str_find_str(rest, STR("<test id"));
		if (k == rest.n)
			break;
		rest = str_skip(rest, k + 1);
		struct str test = str_head(rest, str_find_str(rest, STR("</test>"))), category = element(test, "category");
		struct buf addr;
		struct arena a;
		struct mail_address out;
		buf_init(&addr, 4096);
		arena_init(&a, 65536);
		plain_address(element(test, "address"), &addr);
		bool smtp = mail_address_parse(buf_str(&addr), false, &a, &out, NULL) == RC_OK, header = mail_addr_spec_ok(buf_str(&addr));
		bool want_smtp = str_eq(category, STR("ISEMAIL_RFC5321")) || str_eq(category, STR("ISEMAIL_VALID_CATEGORY")) || str_eq(category, STR("ISEMAIL_DNSWARN"));
		bool want_header = !str_eq(category, STR("ISEMAIL_ERR"));
		cases++;
		if (smtp != want_smtp || header != want_header) {
			wrong++;
			print_error("%.*s (%.*s): smtp %d header %d\n", PSTR(buf_str(&addr)), PSTR(category), smtp, header);
		}
		buf_done(&addr);
		arena_done(&a);
	}
	buf_done(&file);
	print_message("isemail: %u of %u\n", cases - wrong, cases);
	assert_int_equal(cases, 164);
	assert_int_equal(wrong, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mime4j_messages_give_the_same_tree_and_octets),
		cmocka_unit_test(mime_tools_messages_give_the_same_tree_and_octets),
		cmocka_unit_test(body_offsets_are_those_of_mail_parser),
		cmocka_unit_test(isemail_verdicts_are_ours),
	};
	int failed = cmocka_run_group_tests_name("mail vectors", tests, NULL, NULL);
	mail_thread_done();
	return failed;
}
