#include "store/queue_row.h"
#include "store/verb.h"

#include <stdlib.h>

/* How many recipients of an account's letters wait. The row changes in the batch that puts or ends the rows it counts, once for each account however many those are, and is
 * absent for none; so it is right whenever the power goes, and verify counts again. */

static int by_account(const void *a, const void *b)
{
	const struct waiting *x = a, *y = b;
	return x->account < y->account ? -1 : x->account > y->account;
}

/* RC_DAMAGED: what cannot be read limits nobody and stays as it is; verify tells. */
static enum rc read_row(struct tx *t, struct key k, uint32_t *out_n, struct str *out_raw)
{
	*out_n = 0;
	enum rc rc = tx_get(t, TABLE_KNOWN, k, out_raw);
	if (rc == RC_OK)
		return waiting_parse(*out_raw, out_n);
	*out_raw = STR("");
	return rc == RC_NOTFOUND ? RC_OK : rc;
}

static void put_row(struct tx *t, struct key k, uint32_t n)
{
	char row[WAITING_LEN];
	if (n)
		batch_put(&t->batch, TABLE_KNOWN, key_str(&k), waiting_format(n, row));
	else
		batch_delete(&t->batch, TABLE_KNOWN, key_str(&k));
}

/* RFC 3463 3.6, X.5.3: "More recipients were specified for the message than could have been delivered", and the message may be sent to fewer. It is neither the mailbox (4.2.2)
 * nor this server (4.3.1) that is full. For good only where waiting could not help. */
static enum rc check(uint32_t is, uint32_t n, uint32_t max, struct why *why)
{
	if (!max || (n <= max && is <= max - n))
		return RC_OK;
	if (n > max)
		FAIL(why, RC_DENIED, "5.5.3 at most %u recipients of this account may wait to be delivered, and this message has %u", max, n);
	FAIL(why, RC_DENIED, "4.5.3 at most %u recipients of this account may wait to be delivered, and %u do: wait until there are fewer", max, is);
}

static enum rc add(struct tx *t, const struct waiting *w, uint32_t max, struct why *why)
{
	struct key k = key_waiting(w->account);
	struct tx_account *a;
	struct str raw;
	uint32_t is;
	TRY(tx_account(t, w->account, &a, why));
	enum rc rc = read_row(t, k, &is, &raw);
	if (rc != RC_OK)
		return rc == RC_DAMAGED ? RC_OK : rc;
	TRY(check(is, w->n, max, why));
	batch_expect(&t->batch, TABLE_KNOWN, key_str(&k), raw);
	put_row(t, k, is > UINT32_MAX - w->n ? UINT32_MAX : is + w->n);
	return RC_OK;
}

/* Of an account that has gone there is no row. */
static enum rc take(struct tx *t, const struct waiting *w)
{
	struct key k = key_waiting(w->account);
	struct str raw;
	uint32_t is;
	enum rc rc = read_row(t, k, &is, &raw);
	if (rc == RC_OK && raw.n)
		put_row(t, k, is > w->n ? is - w->n : 0);
	return rc == RC_DAMAGED ? RC_OK : rc;
}

/* One entry for each account: *n of them. */
static void gather(struct waiting *list, size_t *n)
{
	size_t kept = 0;
	qsort(list, *n, sizeof *list, by_account);
	for (size_t i = 0; i < *n; i++)
		if (kept && list[kept - 1].account == list[i].account)
			list[kept - 1].n += list[i].n;
		else if (list[i].account && list[i].n)
			list[kept++] = list[i];
	*n = kept;
}

enum rc tx_waiting_add(struct tx *t, struct waiting *list, size_t n, const struct sent_note *limit, struct why *why)
{
	gather(list, &n);
	for (size_t i = 0; i < n; i++)
		TRY(add(t, &list[i], limit && limit->account == list[i].account ? limit->max_waiting : 0, why));
	return RC_OK;
}

enum rc tx_waiting_take(struct tx *t, struct waiting *list, size_t n)
{
	gather(list, &n);
	for (size_t i = 0; i < n; i++)
		TRY(take(t, &list[i]));
	return RC_OK;
}
