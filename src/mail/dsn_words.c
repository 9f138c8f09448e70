#include "mail/dsn.h"

#include "base/str.h"

/* What a status means to the person who sent the message, and what to do about it. RFC 3463 and IANA's registry of enhanced status codes. */

#define CHECK_ADDRESS "Check the address for a typing mistake and send the message again; if it is right, ask the recipient for a new one by other means."
#define ASK_RECIPIENT "Tell the recipient by other means; he or she can do something about it, you cannot."
#define TRY_LATER "Send it again in a few hours; if that fails too, tell the recipient by other means."
#define ASK_ADMIN "Forward this notice to your mail administrator."
#define SMALLER "Send it in smaller pieces, or put large attachments where the recipient can fetch them and send a link."
#define REFUSED "If you believe that this is a mistake, forward this notice to your mail administrator, or ask the recipient by other means to have you let in."

static const struct { const char *status; struct dsn_words words; } by_status[] = { /* subject.detail; a subject alone comes after its details */
	{ ".1.1", { "there is no mailbox with this address", CHECK_ADDRESS } },
	{ ".1.2", { "the part of the address after the @ is no place that takes mail", CHECK_ADDRESS } },
	{ ".1.3", { "the address is not written as an address must be", CHECK_ADDRESS } },
	{ ".1.4", { "the address could mean several people", CHECK_ADDRESS } },
	{ ".1.6", { "the recipient has moved and left no new address", CHECK_ADDRESS } },
	{ ".1.7", { "your own address is not written as the receiver wants it", ASK_ADMIN } },
	{ ".1.8", { "the receiver could not find the domain of your own address", ASK_ADMIN } },
	{ ".1.9", { "the address was taken, but the next server could not be told about it", TRY_LATER } },
	{ ".1.10", { "the recipient's domain says that it takes no mail at all", CHECK_ADDRESS } },
	{ ".1", { "the receiver does not accept this address", CHECK_ADDRESS } },
	{ ".2.1", { "the mailbox is switched off", ASK_RECIPIENT } },
	{ ".2.2", { "the recipient's mailbox is full", "Tell the recipient by other means to make room, then send it again." } },
	{ ".2.3", { "the message is larger than this mailbox takes", SMALLER } },
	{ ".2.4", { "the list behind the address could not be opened", "Tell the owner of the list." } },
	{ ".2", { "the mailbox does not take the message", ASK_RECIPIENT } },
	{ ".3.1", { "the receiving server has no room left", TRY_LATER } },
	{ ".3.2", { "the receiving server takes no mail at the moment", TRY_LATER } },
	{ ".3.3", { "the receiving server cannot do what the message needs", ASK_ADMIN } },
	{ ".3.4", { "the message is larger than the receiving server takes", SMALLER } },
	{ ".3.5", { "the receiving server is not set up right", ASK_RECIPIENT } },
	{ ".3", { "the receiving server has trouble of its own", TRY_LATER } },
	{ ".4.1", { "the recipient's mail server did not answer", TRY_LATER } },
	{ ".4.2", { "the connection to the recipient's mail server broke off", TRY_LATER } },
	{ ".4.3", { "the internet's directory of names (DNS) could not say where the recipient's mail server is", TRY_LATER } },
	{ ".4.4", { "there is no way to the recipient's mail server", CHECK_ADDRESS } },
	{ ".4.5", { "the recipient's mail server is overloaded", TRY_LATER } },
	{ ".4.6", { "the message went round in a circle between servers", ASK_ADMIN } },
	{ ".4.7", { "it could not be handed over in the time that it had", "Send it again if it still matters, or tell the recipient by other means." } },
	{ ".4", { "the recipient's mail server could not be reached", TRY_LATER } },
	{ ".5.3", { "the message has more recipients than the receiver takes", "Send it to fewer people at a time." } },
	{ ".5", { "the two mail servers did not understand each other", ASK_ADMIN } },
	{ ".6.1", { "the receiver does not take this kind of content", "Send it in another form, for instance as plain text or as a link." } },
	{ ".6.3", { "the message has letters or contents that the receiving server cannot take as they are", "Have your mail program send it in quoted-printable or base64 form, or write it in plain letters." } },
	{ ".6.7", { "the receiver cannot handle addresses with letters beyond plain ASCII", "Use an address in plain letters, yours and the recipient's." } },
	{ ".6.9", { "the receiver cannot handle addresses with letters beyond plain ASCII", "Use an address in plain letters, yours and the recipient's." } },
	{ ".6", { "the receiver cannot handle this kind of content", "Send it in another form, for instance as plain text." } },
	{ ".7.1", { "the receiving server refuses this message", REFUSED } },
	{ ".7.2", { "you may not write to this list", "Ask the owner of the list." } },
	{ ".7.4", { "the message asks for protection that the way to the recipient does not offer", "Send it without that request if its content may travel unprotected." } },
	{ ".7.8", { "our server could not log in at the server that was to pass the message on", ASK_ADMIN } },
	{ ".7.10", { "the connection to the receiver could not be encrypted as it must be", ASK_ADMIN } },
	{ ".7.20", { "the receiver wants messages signed by the sender's domain (DKIM), and this one was not", ASK_ADMIN } },
	{ ".7.21", { "the receiver does not believe this message's signature (DKIM)", ASK_ADMIN } },
	{ ".7.22", { "the receiver does not believe this message's signature (DKIM)", ASK_ADMIN } },
	{ ".7.23", { "the receiver says that our server may not send for your domain (SPF)", ASK_ADMIN } },
	{ ".7.24", { "the receiver could not check whether our server may send for your domain (SPF)", ASK_ADMIN } },
	{ ".7.25", { "the receiver found no name for our server's address (reverse DNS)", ASK_ADMIN } },
	{ ".7.26", { "the receiver could not establish that the message is really from you (SPF, DKIM, DMARC)", ASK_ADMIN } },
	{ ".7.27", { "your own domain says that it takes no mail, so the receiver takes none from it", ASK_ADMIN } },
	{ ".7.28", { "the receiver is getting too much mail at once", TRY_LATER } },
	{ ".7.30", { "the message may only travel encrypted all the way, and the receiver does not promise that", "Send it without that request if its content may travel unprotected." } },
	{ ".7", { "the receiving server's rules do not let this message in", REFUSED } },
};
static const struct { int code; struct dsn_words words; } by_code[] = {
	{ 421, { "the recipient's mail server takes no mail at the moment", TRY_LATER } },
	{ 450, { "the mailbox cannot be used at the moment", TRY_LATER } },
	{ 451, { "the recipient's mail server has trouble of its own", TRY_LATER } },
	{ 452, { "the recipient's mail server has no room left", TRY_LATER } },
	{ 521, { "the recipient's domain says that it takes no mail at all", CHECK_ADDRESS } },
	{ 530, { "the server that was to pass the message on wants a login", ASK_ADMIN } },
	{ 535, { "our server could not log in at the server that was to pass the message on", ASK_ADMIN } },
	{ 550, { "the receiving server does not accept this address or this message", CHECK_ADDRESS } },
	{ 551, { "the recipient is not at this server any more", CHECK_ADDRESS } },
	{ 552, { "the mailbox is full, or the message too large for it", SMALLER } },
	{ 553, { "the receiving server does not take the address as it is written", CHECK_ADDRESS } },
	{ 554, { "the receiving server refuses this message", REFUSED } },
	{ 556, { "the recipient's domain says that it takes no mail at all", CHECK_ADDRESS } },
};

/* The whole of `row`, or its subject alone: ".1" takes ".1.99". */
static bool fits(struct str status, struct str row)
{
	struct str rest = str_skip(status, row.n);
	bool detail = str_find(str_skip(row, 1), '.') < row.n - 1;
	return str_starts(status, row) && (detail ? rest.n == 0 : rest.n > 0 && rest.p[0] == '.');
}

struct dsn_words dsn_explain(const char *status, int code, bool remote)
{
	if (!remote && strcmp(status, "5.7.0") == 0) /* of ourselves there is one such: `queue bounce` */
		return (struct dsn_words){ "the administrator of this mail server returned it", "Ask your mail administrator where the reason is not plain." };
	struct str s = str_skip(str_z(status), 1);
	for (size_t i = 0; i < sizeof by_status / sizeof *by_status; i++)
		if (fits(s, str_z(by_status[i].status)))
			return by_status[i].words;
	for (size_t i = 0; i < sizeof by_code / sizeof *by_code; i++)
		if (by_code[i].code == code)
			return by_code[i].words;
	if (code >= 500 || (!code && status[0] == '5'))
		return (struct dsn_words){ "the receiving server refuses it", REFUSED };
	return (struct dsn_words){ "it could not be handed over", TRY_LATER };
}
