#include "mail/charset.h"

#include "base/codec.h"
#include "mail/digest.h"
#include "mail/grams.h"
#include "mail/icu.h"

enum kind { ASCII, UTF8, LATIN1, OTHER, OTHER_SUPERSET };
enum { NAME_MAX_OCTETS = 39, CACHED = 8 };

/* Names that mean another charset than they say in real mail (as in the WHATWG encoding standard). */
static const struct { char said[20], meant[16]; } aliases[] = {
	{ "gb2312", "gb18030" }, { "gbk", "gb18030" }, { "gb_2312-80", "gb18030" }, { "ks_c_5601-1987", "windows-949" },
	{ "euc-kr", "windows-949" }, { "iso-8859-9", "windows-1254" }, { "tis-620", "windows-874" }, { "iso-8859-8-i", "iso-8859-8" },
	{ "x-sjis", "shift_jis" }, { "cp1251", "windows-1251" }, { "x-gbk", "gb18030" }, { "cp-850", "ibm850" },
};

struct cached {
	char name[NAME_MAX_OCTETS + 1];
	UConverter *cnv; /* NULL: there is no such charset */
};
static _Thread_local struct cached cache[CACHED];
static _Thread_local unsigned cache_next;
static _Thread_local UConverter *to_utf8;

void mail_thread_done(void)
{
	for (unsigned i = 0; i < CACHED; i++) {
		if (cache[i].cnv)
			icu()->ucnv_close(cache[i].cnv);
		cache[i] = (struct cached){ 0 };
	}
	if (to_utf8)
		icu()->ucnv_close(to_utf8);
	to_utf8 = NULL;
	grams_thread_done();
}

static UConverter *open_converter(const char *name)
{
	const struct icu *u = icu();
	if (!u)
		return NULL;
	UErrorCode e = U_ZERO_ERROR;
	u->udata_setFileAccess(UDATA_NO_FILES, &e); /* never look for a file named by a stranger */
	e = U_ZERO_ERROR;
	if (u->ucnv_countAliases(name, &e) == 0 || U_FAILURE(e))
		return NULL;
	e = U_ZERO_ERROR;
	UConverter *c = u->ucnv_open(name, &e);
	return U_FAILURE(e) ? NULL : c;
}

static UConverter *converter(struct str name)
{
	char z[NAME_MAX_OCTETS + 1];
	if (name.n == 0 || name.n > NAME_MAX_OCTETS)
		return NULL;
	for (size_t i = 0; i < name.n; i++)
		z[i] = ascii_lower(name.p[i]);
	z[name.n] = 0;
	for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
		if (strcmp(z, aliases[i].said) == 0)
			memcpy(z, aliases[i].meant, sizeof aliases[i].meant);
	for (unsigned i = 0; i < CACHED; i++)
		if (strcmp(cache[i].name, z) == 0)
			return cache[i].cnv;
	struct cached *c = &cache[cache_next++ % CACHED];
	if (c->cnv)
		icu()->ucnv_close(c->cnv);
	memcpy(c->name, z, sizeof z);
	return c->cnv = open_converter(z);
}

size_t ascii_prefix(struct str in)
{
	size_t i = 0;
	uint64_t w;
	for (; i + 8 <= in.n; i += 8) {
		memcpy(&w, in.p + i, 8);
		if (w & 0x8080808080808080u)
			break;
	}
	while (i < in.n && !(in.p[i] & 0x80))
		i++;
	return i;
}

void utf8_put(struct buf *out, uint32_t c)
{
	if (!buf_room(out, 4))
		return;
	char *p = out->p + out->len;
	if (c > 0x10ffff || (c >= 0xd800 && c < 0xe000))
		c = 0xfffd;
	if (c < 0x80) {
		p[0] = (char)c;
		out->len += 1;
	} else if (c < 0x800) {
		p[0] = (char)(0xc0 | c >> 6);
		p[1] = (char)(0x80 | (c & 63));
		out->len += 2;
	} else if (c < 0x10000) {
		p[0] = (char)(0xe0 | c >> 12);
		p[1] = (char)(0x80 | (c >> 6 & 63));
		p[2] = (char)(0x80 | (c & 63));
		out->len += 3;
	} else {
		p[0] = (char)(0xf0 | c >> 18);
		p[1] = (char)(0x80 | (c >> 12 & 63));
		p[2] = (char)(0x80 | (c >> 6 & 63));
		p[3] = (char)(0x80 | (c & 63));
		out->len += 4;
	}
}

static void from_1252(struct str in, struct buf *out)
{
	static const uint16_t high[32] = {
		0x20ac, 0x81,   0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0x8d,   0x017d, 0x8f,
		0x90,   0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0x9d,   0x017e, 0x0178,
	};
	while (in.n) {
		size_t k = ascii_prefix(in);
		buf_add(out, str_head(in, k));
		in = str_skip(in, k);
		for (k = 0; k < in.n && (in.p[k] & 0x80); k++) {
			unsigned char c = (unsigned char)in.p[k];
			utf8_put(out, c < 0xa0 ? high[c - 0x80] : c);
		}
		in = str_skip(in, k);
	}
}

static bool from_utf8(struct str in, struct buf *out)
{
	bool clean = true;
	while (in.n) {
		size_t k = utf8_valid_prefix(in);
		buf_add(out, str_head(in, k));
		in = str_skip(in, k);
		if (in.n) {
			utf8_put(out, 0xfffd);
			in = str_skip(in, 1);
			clean = false;
		}
	}
	return clean;
}

static bool guess(struct str in, struct buf *out)
{
	if (utf8_ok(in))
		buf_add(out, in);
	else
		from_1252(in, out);
	return false;
}

static bool by_icu(UConverter *cnv, struct str in, struct buf *out)
{
	const struct icu *u = icu(); /* it gave us `cnv` */
	UChar pivot[1024], *from = pivot, *to = pivot;
	UErrorCode e = U_ZERO_ERROR;
	const char *src = in.p, *end = in.p + in.n;
	size_t start = out->len;
	bool reset = true;
	if (!to_utf8)
		to_utf8 = u->ucnv_open("UTF-8", &e);
	if (U_FAILURE(e))
		return to_utf8 = NULL, guess(in, out);
	for (;;) {
		size_t room = (size_t)(end - src) * 2 + 256;
		if (room > out->max - out->len)
			room = out->max - out->len;
		if (room == 0 || !buf_room(out, room))
			return out->failed = true, false;
		char *dst = out->p + out->len;
		e = U_ZERO_ERROR;
		u->ucnv_convertEx(to_utf8, cnv, &dst, dst + room, &src, end, pivot, &from, &to, pivot + 1024, reset, true, &e);
		out->len = (size_t)(dst - out->p);
		reset = false;
		if (e != U_BUFFER_OVERFLOW_ERROR)
			break;
	}
	struct str made = { out->p + start, out->len - start };
	return U_SUCCESS(e) && str_find_str(made, STR("\xef\xbf\xbd")) == made.n;
}

static enum kind kind_of(struct str name)
{
	static const struct { struct str name; enum kind kind; } known[] = {
		{ STR_INIT("us-ascii"), ASCII }, { STR_INIT("ascii"), ASCII }, { STR_INIT("ansi_x3.4-1968"), ASCII }, { STR_INIT("utf-8"), UTF8 },
		{ STR_INIT("utf8"), UTF8 }, { STR_INIT("iso-8859-1"), LATIN1 }, { STR_INIT("windows-1252"), LATIN1 }, { STR_INIT("cp1252"), LATIN1 },
		{ STR_INIT("latin1"), LATIN1 }, { STR_INIT("iso8859-1"), LATIN1 }, { STR_INIT("iso_8859-1"), LATIN1 },
	};
	if (name.n == 0)
		return ASCII;
	for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
		if (str_ieq(name, known[i].name))
			return known[i].kind;
	return str_istarts(name, STR("iso-8859-")) || str_istarts(name, STR("windows-12")) || str_istarts(name, STR("koi8-")) ? OTHER_SUPERSET : OTHER;
}

bool charset_to_utf8(struct str name, struct str in, struct buf *out)
{
	name = str_trim(name);
	enum kind kind = kind_of(name);
	if (kind != OTHER && ascii_prefix(in) == in.n) {
		buf_add(out, in);
		return true;
	}
	switch (kind) {
	case ASCII: return guess(in, out);
	case UTF8: return from_utf8(in, out);
	case LATIN1: from_1252(in, out); return true;
	case OTHER:
	case OTHER_SUPERSET: break;
	}
	UConverter *cnv = converter(name);
	return cnv ? by_icu(cnv, in, out) : guess(in, out);
}
