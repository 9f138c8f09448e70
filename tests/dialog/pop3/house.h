#pragma once
#include "base/mem.h"
#include "pop3/session.h"

/* A house for POP3 sessions under test: one account, a handful of messages, every hook able to fail. Counts what it is
 * asked, so that a test can say "no QUIT, no expunge". */
enum { HOUSE_MAILS = 32 };
struct house_mail { struct str body; uint32_t uid; bool removed; };
struct pop3_house {
	struct str user, password;
	struct house_mail mails[HOUSE_MAILS];
	size_t n;
	size_t chunk;                  /* read() lends at most this; 0 = 65536 */
	uint32_t uidvalidity;
	enum rc connect_rc, login_rc, list_rc, read_rc, expunge_rc;
	uint64_t read_fails_from;      /* read_rc counts from this offset on */
	const char *text;              /* what failing hooks say */
	unsigned logins, logouts, expunges, reads;
	size_t ahead[8];               /* what was asked to be opened ahead */
	unsigned aheads;
	size_t removed;
	struct pop3_entry entries[HOUSE_MAILS];
	size_t entry_mail[HOUSE_MAILS], entry_n;
	char last_user[300], last_password[300];
	void (*at_expunge)(void *arg); /* called first thing in expunge() */
	void *arg;
};

static inline enum rc house_fail(struct pop3_house *h, enum rc rc, struct why *why)
{
	return why_fail(why, rc, 0, "house", "%s", h->text ? h->text : "");
}

static inline enum rc house_connect(void *house, const struct stream_facts *facts, struct why *why)
{
	struct pop3_house *h = house;
	(void)facts;
	return h->connect_rc == RC_OK ? RC_OK : house_fail(h, h->connect_rc, why);
}

static inline enum rc house_login(void *house, struct str user, struct str password, struct why *why)
{
	struct pop3_house *h = house;
	snprintf(h->last_user, sizeof h->last_user, "%.*s", PSTR(str_head(user, 299)));
	snprintf(h->last_password, sizeof h->last_password, "%.*s", PSTR(str_head(password, 299)));
	if (h->login_rc != RC_OK)
		return house_fail(h, h->login_rc, why);
	if (!str_eq(user, h->user) || !str_eq(password, h->password))
		return house_fail(h, RC_DENIED, why);
	h->logins++;
	return RC_OK;
}

static inline enum rc house_list(void *house, const struct pop3_entry **out, size_t *out_n, uint32_t *out_uidvalidity, struct why *why)
{
	struct pop3_house *h = house;
	if (h->list_rc != RC_OK)
		return house_fail(h, h->list_rc, why);
	h->entry_n = 0;
	for (size_t i = 0; i < h->n; i++) {
		if (h->mails[i].removed)
			continue;
		h->entries[h->entry_n] = (struct pop3_entry){ h->mails[i].uid, (uint32_t)h->mails[i].body.n };
		h->entry_mail[h->entry_n++] = i;
	}
	*out = h->entries;
	*out_n = h->entry_n;
	*out_uidvalidity = h->uidvalidity;
	return RC_OK;
}

static inline enum rc house_read(void *house, size_t i, uint64_t offset, struct str *out, struct why *why)
{
	struct pop3_house *h = house;
	h->reads++;
	if (h->read_rc != RC_OK && offset >= h->read_fails_from)
		return house_fail(h, h->read_rc, why);
	*out = str_head(str_skip(h->mails[h->entry_mail[i]].body, (size_t)offset), h->chunk ? h->chunk : 65536);
	return RC_OK;
}

static inline void house_ahead(void *house, size_t i)
{
	struct pop3_house *h = house;
	if (h->aheads < 8)
		h->ahead[h->aheads] = i;
	h->aheads++;
}

static inline enum rc house_expunge(void *house, const size_t *index, size_t n, struct why *why)
{
	struct pop3_house *h = house;
	if (h->at_expunge)
		h->at_expunge(h->arg);
	h->expunges++;
	if (h->expunge_rc != RC_OK)
		return house_fail(h, h->expunge_rc, why);
	for (size_t i = 0; i < n; i++)
		h->mails[h->entry_mail[index[i]]].removed = true;
	h->removed += n;
	return RC_OK;
}

static inline void house_logout(void *house)
{
	struct pop3_house *h = house;
	h->logouts++;
}

static inline struct pop3_hooks house_hooks(struct pop3_house *h)
{
	return (struct pop3_hooks){ h, house_connect, house_login, house_list, house_read, house_ahead, house_expunge, house_logout };
}

static inline void house_put(struct pop3_house *h, struct str body)
{
	if (h->n < HOUSE_MAILS) {
		h->mails[h->n] = (struct house_mail){ body, (uint32_t)(h->n + 1) * 3, false };
		h->n++;
	}
}
