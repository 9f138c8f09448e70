/* Rows as a reader packs them, and every value of the index: parsers of stored bytes, and what they write again. */
#include "store/layout.h"
#include "store/rows.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void rows(struct str s, unsigned want)
{
	struct cursor c = cursor_of(s);
	struct row row;
	size_t total = 0;
	enum rc rc;
	while ((rc = row_next(&c, want, &row)) == RC_OK) {
		total += 32 + row.record.n + row.grams.n;
		if (row.uid == 0 || total > s.n || !blob_place_fits(&row.place))
			abort();
	}
	if (rc != RC_NOTFOUND && rc != RC_SYNTAX)
		abort();
	if (row_next(&c, want, &row) == RC_OK)
		abort(); /* the end and a failure are for good */
}

/* What parses is written again as it was. */
static void same(struct str a, struct str b)
{
	if (!str_eq(a, b))
		abort();
}

static void values(struct str s)
{
	char out[4096];
	struct account_row account;
	struct box_row box;
	struct state_row state;
	struct change_row change;
	struct blob_row blob;
	struct address_row address;
	struct str domain;
	struct segment_row segment;
	uint32_t recent;
	if (account_parse(s, &account) == RC_OK && (uint8_t)s.p[1] < 8)
		same(account_format(&account, out), s);
	if (box_parse(s, &box) == RC_OK && ((uint8_t)s.p[1] & ~2u) == 0) /* the one flag that there is */
		same(box_format(&box, out), s);
	if (state_parse(s, &state) == RC_OK)
		same(state_format(&state, out), s);
	if (recent_parse(s, &recent) == RC_OK)
		same(recent_format(recent, out), s);
	if (change_parse(s, &change) == RC_OK)
		same(change_format(&change, out), s);
	if (blob_row_parse(s, &blob) == RC_OK)
		same(blob_row_format(&blob, out), s);
	if (address_row_parse(s, &address) == RC_OK)
		same(address_row_format(&address, out), s);
	if (domain_row_parse(s, &domain) == RC_OK)
		same(domain_row_format(domain, out), s);
	(void)!segment_row_parse(s, &segment);
}

static void names(struct str s)
{
	char text[NAME_MAX_OCTETS], again[NAME_MAX_OCTETS], mail[ADDRESS_MAX];
	struct str canonical, twice, address;
	if (name_canonical(s, text, &canonical, NULL) == RC_OK) {
		if (name_canonical(canonical, again, &twice, NULL) != RC_OK)
			abort();
		same(canonical, twice);
	}
	if (address_canonical(s, mail, &address) == RC_OK && address_domain(address).n == 0)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n == 0 || n > 1 << 16)
		return 0;
	struct str s = str_of(data + 1, n - 1);
	if (data[0] < 16)
		rows(s, data[0]);
	else if (data[0] < 128)
		values(s);
	else
		names(s);
	return 0;
}
