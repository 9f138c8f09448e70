#include "origin/dkim_write.h"

#include "base/codec.h"
#include "origin/dkim_parse.h"

void write_tag(struct write_field *f, const char *name, struct str value)
{
	if (f->n < WRITE_MAX_TAGS)
		f->tag[f->n++] = (struct write_tag){ name, value };
}

static void sort_tags(struct write_field *f)
{
	for (size_t i = 1; i < f->n; i++)
		for (size_t k = i; k > 0 && strcmp(f->tag[k - 1].name, f->tag[k].name) > 0; k--) {
			struct write_tag t = f->tag[k];
			f->tag[k] = f->tag[k - 1];
			f->tag[k - 1] = t;
		}
}

static void write_plain(struct write_field *f, struct buf *out, size_t *out_b)
{
	sort_tags(f);
	for (size_t i = 0; i < f->n; i++) {
		buf_add(out, i ? STR("; ") : STR(" "));
		buf_add(out, str_z(f->tag[i].name));
		buf_byte(out, '=');
		if (strcmp(f->tag[i].name, "b") == 0)
			*out_b = out->len;
		buf_add(out, f->tag[i].value);
	}
}

/* A word that must not be broken, on this line or the next one; a space before it when `apart`. */
static void write_word(struct buf *out, size_t *column, struct str word, bool apart)
{
	if (*column + apart + word.n > WRITE_LINE) {
		buf_add(out, STR("\r\n "));
		*column = 1;
	} else if (apart) {
		buf_byte(out, ' ');
		(*column)++;
	}
	buf_add(out, word);
	*column += word.n;
}

/* h= is a list with a place to fold after each colon (RFC 6376 3.5). */
static void write_list(struct buf *out, size_t *column, struct str list)
{
	while (list.n) {
		size_t k = str_find(list, ':');
		k = k < list.n ? k + 1 : k;
		write_word(out, column, str_head(list, k), false);
		list = str_skip(list, k);
	}
}

static void write_folded(struct write_field *f, struct buf *out, size_t *out_b)
{
	size_t column = strlen(f->name) + 1;
	for (size_t i = 0; i < f->n; i++) {
		const struct write_tag *t = &f->tag[i];
		struct buf word;
		buf_init(&word, WRITE_FIELD_MAX);
		buf_add(&word, str_z(t->name));
		buf_byte(&word, '=');
		bool list = strcmp(t->name, "h") == 0, last = i + 1 == f->n;
		if (!list) {
			buf_add(&word, t->value);
			if (!last)
				buf_byte(&word, ';');
		}
		write_word(out, &column, buf_str(&word), true);
		if (list) {
			buf_clear(&word);
			buf_add(&word, t->value);
			buf_byte(&word, ';');
			write_list(out, &column, buf_str(&word));
		}
		out->failed |= word.failed;
		buf_done(&word);
		if (last)
			*out_b = out->len; /* b= stands last */
	}
}

void write_template(struct write_field *f, struct buf *out, size_t *out_b)
{
	buf_add(out, str_z(f->name));
	buf_byte(out, ':');
	(f->plain ? write_plain : write_folded)(f, out, out_b);
}

static size_t column_at(struct str s, size_t at)
{
	size_t n = 0;
	while (n < at && s.p[at - 1 - n] != '\n')
		n++;
	return n;
}

void write_signed(struct str template, size_t b, struct str signature, bool plain, struct buf *out)
{
	struct buf text;
	buf_init(&text, WRITE_FIELD_MAX);
	base64_add(&text, signature);
	struct str rest = buf_str(&text);
	size_t column = column_at(template, b);
	buf_add(out, str_head(template, b));
	while (rest.n) {
		size_t room = plain ? rest.n : column < WRITE_LINE ? WRITE_LINE - column : 0;
		buf_add(out, str_head(rest, room));
		rest = str_skip(rest, room);
		if (rest.n)
			buf_add(out, STR("\r\n "));
		column = 1;
	}
	buf_add(out, str_skip(template, b));
	buf_add(out, STR("\r\n"));
	out->failed |= text.failed;
	buf_done(&text);
}
