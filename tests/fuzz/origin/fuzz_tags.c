/* Tag lists and base64: what is taken holds what the header promises. */
#include "origin/origin.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	AUTO(buf_done) struct buf b = { .max = 1 << 20 };
	struct str in = str_of(data, size);
	struct tags t;
	struct why why = { 0 };
	enum rc rc = tags_parse(in, &t, &why);
	assert(rc == RC_OK || ((rc == RC_SYNTAX || rc == RC_LIMIT) && why.text[0]));
	for (size_t i = 0; rc == RC_OK && i < t.n; i++) {
		char name[64];
		assert(t.tag[i].name.n && ascii_alpha(t.tag[i].name.p[0]) && str_eq(str_trim(t.tag[i].value), t.tag[i].value));
		if (t.tag[i].name.n >= sizeof name)
			continue;
		memcpy(name, t.tag[i].name.p, t.tag[i].name.n);
		name[t.tag[i].name.n] = '\0';
		assert(tags_get(&t, name) == &t.tag[i].value);
	}
	if (tags_base64(in, &b) == RC_OK)
		assert(b.len <= size / 4 * 3);
	return 0;
}
