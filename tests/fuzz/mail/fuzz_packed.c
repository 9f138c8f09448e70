/* What is read back from storage, although it is our own: part table, fields, attachments, signature, BODYSTRUCTURE. */
#include "mail/digest.h"
#include "mail/grams.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size);
	struct mail_part p, inner;
	struct mail_fields f;
	struct mail_attachment a;
	struct buf out;
	uint32_t path[3] = { size ? data[0] % 4 : 0, 1, 2 };
	for (size_t n = 0; n <= 3; n++)
		(void)!mail_part_find(in, path, n, &p, &inner);
	if (mail_fields_parse(in, &f) == RC_OK)
		assert(f.references.p + f.references.n <= in.p + in.n);
	struct str packed = in;
	for (size_t before = packed.n + 1; packed.n < before && mail_attachment_next(&packed, &a) == RC_OK;)
		before = packed.n + 1;
	(void)grams_maybe(in, GRAMS_BODY | GRAMS_HEADER, STR("needle"));
	buf_init(&out, 1 << 20);
	if (mail_body_of_structure(in, &out) == RC_OK)
		assert(out.len <= size);
	buf_done(&out);
	return 0;
}
