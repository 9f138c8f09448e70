#include "dialog/dialog.h"
#include "dialog/smtp/house.h"

/* The SMTP session in the dialogues of scripts/. */

static struct smtp_house house;

static bool begin(void *arg)
{
	smtp_house_init(arg);
	return true;
}

static bool set_number(struct smtp_house *h, struct str name, uint64_t n)
{
	struct { struct str name; unsigned *to; } numbers[] = {
		{ STR("max_recipients"), &h->config.max_recipients }, { STR("max_mails"), &h->config.max_mails }, { STR("max_errors"), &h->config.max_errors },
		{ STR("max_bad_rcpt"), &h->config.max_bad_rcpt }, { STR("max_before_login"), &h->config.max_before_login }, { STR("prelogin_ms"), &h->config.prelogin_ms }, { STR("tarpit_ms"), &h->config.tarpit_ms },
	};
	for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
		if (str_eq(name, numbers[i].name)) {
			*numbers[i].to = (unsigned)n;
			return true;
		}
	if (str_eq(name, STR("write_fails_after")))
		h->write_fails_after = (long)n;
	else if (str_eq(name, STR("max_size")))
		h->config.max_size = n;
	else if (str_eq(name, STR("max_hold_s")))
		h->config.max_hold_s = n;
	else
		return false;
	return true;
}

static bool set(void *arg, struct str option)
{
	struct smtp_house *h = arg;
	struct str name, value;
	uint64_t n;
	if (str_cut(option, '=', &name, &value))
		return str_u64(value, UINT32_MAX, &n) && set_number(h, name, n);
	struct { struct str name; bool *on; } flags[] = { { STR("tls"), &h->tls_offered }, { STR("tls_on"), &h->tls_on }, { STR("tls_required"), &h->config.tls_required },
		{ STR("scram"), &h->config.scram }, { STR("plaintext"), &h->config.plaintext_login }, { STR("logged_in"), &h->config.logged_in } };
	for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
		if (str_eq(option, flags[i].name))
			return *flags[i].on = true;
	if (str_eq(option, STR("lmtp")))
		h->config.kind = SMTP_LMTP;
	else if (str_eq(option, STR("submission")))
		h->config.kind = SMTP_SUBMISSION;
	else if (str_eq(option, STR("no utf8")))
		h->config.utf8 = false;
	else if (str_eq(option, STR("no dsn")))
		h->config.dsn = false;
	else if (str_eq(option, STR("stranger denied")))
		h->connect_rc = RC_DENIED;
	else if (str_eq(option, STR("too many connections")))
		h->connect_rc = RC_BUSY;
	else if (str_eq(option, STR("begin fails")))
		h->begin_rc = RC_FULL;
	else if (str_eq(option, STR("commit fails")))
		h->commit_rc = RC_FULL;
	else
		return false;
	return true;
}

static bool holds(void *arg, struct str claim, struct buf *truth)
{
	struct smtp_house *h = arg;
	struct str what, value;
	uint64_t n;
	str_cut(claim, ' ', &what, &value);
	if (h->breach) {
		buf_addf(truth, "broken contract: %s", h->breach);
		return false;
	}
	if (str_eq(what, STR("commits"))) {
		buf_num(truth, h->commits);
		return str_u64(value, 1000, &n) && n == h->commits;
	}
	if (str_eq(what, STR("body"))) { /* written with \r and \n */
		for (size_t i = 0; i < h->bodies.len; i++) {
			char c = h->bodies.p[i];
			if (c == '\r' || c == '\n')
				buf_add(truth, c == '\r' ? STR("\\r") : STR("\\n"));
			else if (c < ' ')
				buf_addf(truth, "\\x%02x", (unsigned char)c);
			else
				buf_byte(truth, c);
		}
		return str_eq(value, buf_str(truth));
	}
	if (str_eq(what, STR("octets"))) {
		buf_num(truth, h->bodies.len);
		return str_u64(value, HOUSE_BODY_MAX, &n) && n == h->bodies.len;
	}
	if (str_eq(what, STR("login")))
		buf_add(truth, str_z(h->login));
	else if (str_eq(what, STR("from")))
		buf_add(truth, str_z(h->from));
	else if (str_eq(what, STR("saw")))
		buf_add(truth, str_z(h->seen));
	else if (str_eq(what, STR("rcpts")))
		for (size_t i = 0; i < h->rcpts; i++)
			buf_addf(truth, i ? " %s" : "%s", h->rcpt[i]);
	return str_eq(value, buf_str(truth));
}

static enum rc serve(void *arg, struct stream *io) { return smtp_house_serve(arg, io); }
static void end(void *arg) { smtp_house_done(arg); }
static bool can_tls(void *arg) { return ((struct smtp_house *)arg)->tls_offered; }
static bool is_tls(void *arg) { return ((struct smtp_house *)arg)->tls_on; }

int main(int argc, char **argv)
{
	static const struct dialog_cast cast = { .arg = &house, .begin = begin, .set = set, .serve = serve, .holds = holds, .end = end, .can_tls = can_tls, .is_tls = is_tls };
	return dialog_main(argc, argv, &cast);
}
