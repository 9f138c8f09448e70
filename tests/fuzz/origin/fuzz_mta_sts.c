/* MTA-STS: a record, a policy and a kept form of any octets; what was read is in range, and written by us it reads the same. */
#include "origin/mta_sts.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void policy(struct str in)
{
	AUTO(arena_done) struct arena a = { .max = 1 << 20 };
	AUTO(buf_done) struct buf out = { .max = 2 * MTA_STS_POLICY_MAX };
	struct mta_sts_policy p, q;
	struct why why;
	char id[33];
	if (mta_sts_parse(in, &a, &p, &why) != RC_OK)
		return;
	assert(p.mode <= MTA_STS_ENFORCE && p.max_age <= MTA_STS_AGE_MAX && p.mx_n <= MTA_STS_MX_MAX && (p.mx_n || p.mode == MTA_STS_NONE));
	for (size_t i = 0; i < p.mx_n; i++) {
		bool any = str_starts(p.mx[i], STR("*."));
		assert(p.mx[i].n && mta_sts_match(&p, any ? str_skip(p.mx[i], 2) : p.mx[i]) >= !any);
	}
	(void)mta_sts_match(&p, str_head(in, 80));
	enum rc rc = mta_sts_write(&p, &out, id);
	assert(rc == RC_OK || rc == RC_LIMIT);
	if (rc != RC_OK || out.len > MTA_STS_POLICY_MAX)
		return;
	assert(strlen(id) == 32 && mta_sts_parse(buf_str(&out), &a, &q, &why) == RC_OK);
	assert(q.mode == p.mode && q.max_age == p.max_age && q.mx_n == p.mx_n);
}

static void kept(struct str in)
{
	AUTO(buf_done) struct buf out = { .max = 1 << 20 };
	struct mta_sts_kept k;
	if (mta_sts_kept_get(in, &k) != RC_OK)
		return;
	mta_sts_keep(&k, &out);
	assert(str_eq(buf_str(&out), in));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct str in = str_of(data, size), id, one, two;
	struct dns_record r[2];
	struct why why;
	(void)str_cut(in, '\n', &one, &two);
	r[0] = (struct dns_record){ .data = one };
	r[1] = (struct dns_record){ .data = two };
	if (mta_sts_record(&(struct dns_answer){ .status = DNS_OK, .record = r, .records = 2 }, &id, &why) == RC_OK)
		assert(id.n >= 1 && id.n <= 32);
	policy(in);
	kept(in);
	return 0;
}
