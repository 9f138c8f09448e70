#include "origin/tls_policy.h"

#include "base/codec.h"
#include "origin/say.h"

struct deciding {
	const struct tls_policy_in *in;
	struct tls_policy_out *out;
	struct arena *a;
	bool optional;     /* what the receiver publishes does not stop the letter */
};

static bool has_address(const struct dane_host *h) { return h->address_v4.status == DNS_OK || h->address_v6.status == DNS_OK; }
static bool sts_is(const struct tls_policy_in *in, enum mta_sts_mode mode) { return in->sts && in->sts->mode == mode; }
static enum dane_state dane_of(const struct tls_policy_in *in) { return in->dane ? in->dane->state : DANE_NONE; }

static void refuse(struct tls_policy_out *o, const char *result, struct str words)
{
	o->allowed = false;
	o->result = result;
	o->words = words;
}

/* ---- what was published, as TLS-RPT wants it ---- */

static struct str tlsa_text(const struct dns_record *r, struct arena *a)
{
	AUTO(buf_done) struct buf b = { .max = 4096 };
	buf_addf(&b, "%u %u %u ", r->usage, r->selector, r->matching);
	hex_add(&b, str_head(r->data, 1024));
	return arena_str(a, buf_str(&b));
}

static void publish_tlsa(struct deciding *d)
{
	struct tls_policy_out *o = d->out;
	const struct dane_host *h = d->in->dane;
	o->type = TLS_POLICY_TLSA;
	o->policy = h->n ? arena_new(d->a, h->n * sizeof *o->policy) : NULL;
	for (size_t i = 0; o->policy && i < h->n; i++)
		o->policy[o->policy_n++] = tlsa_text(&h->tlsa[i], d->a);
}

/* RFC 8460 4.4: "policy-string": the policy's lines */
static void publish_sts(struct deciding *d)
{
	struct tls_policy_out *o = d->out;
	const struct mta_sts_policy *p = d->in->sts;
	o->type = TLS_POLICY_STS;
	o->policy = arena_new(d->a, (p->mx_n + 3) * sizeof *o->policy);
	if (!o->policy)
		return;
	o->policy[o->policy_n++] = STR("version: STSv1");
	o->policy[o->policy_n++] = origin_say(d->a, "mode: %s", mta_sts_mode_name(p->mode));
	for (size_t i = 0; i < p->mx_n; i++)
		o->policy[o->policy_n++] = origin_say(d->a, "mx: %.*s", PSTR(p->mx[i]));
	o->policy[o->policy_n++] = origin_say(d->a, "max_age: %u", p->max_age);
}

/* ---- the rules, each may only ask for more than those before it ---- */

static void name_is(struct tls_policy_out *o, struct str name)
{
	o->names[0] = name;
	o->name_n = 1;
}

static void need_pkix(struct tls_policy_out *o)
{
	o->need_tls = true;
	if (o->verify == TLS_VERIFY_NOT)
		o->verify = TLS_VERIFY_PKIX;
}

/* DANE with records that can be used. */
static void by_dane(struct deciding *d)
{
	const struct dane_host *h = d->in->dane;
	struct tls_policy_out *o = d->out;
	publish_tlsa(d);
	o->sni = h->base;
	o->name_n = h->name_n;
	memcpy(o->names, h->names, sizeof o->names);
	o->tlsa = h->tlsa;
	o->n = h->n;
	o->words = origin_say(d->a, "DANE: %.*s", PSTR(str_head(h->why, 400)));
	o->note = d->optional;
	if (d->optional)
		return;
	o->need_tls = true;
	o->verify = TLS_VERIFY_DANE;
}

/* A policy that names other hosts. */
static void not_named(struct deciding *d)
{
	struct str words = origin_say(d->a, "MTA-STS: %.*s is not among the hosts that the policy of %.*s names", PSTR(str_head(d->in->mx_host, 200)), PSTR(str_head(d->in->next_hop, 200)));
	if (sts_is(d->in, MTA_STS_ENFORCE) && !d->optional) {
		/* RFC 8461 5: "enforce": "Sending MTAs MUST NOT deliver the message to hosts that fail MX matching or certificate validation or that do not support STARTTLS." */
		refuse(d->out, "validation-failure", words);
		return;
	}
	d->out->result = "validation-failure";
	d->out->words = words;
}

static void by_sts(struct deciding *d)
{
	struct tls_policy_out *o = d->out;
	bool force = sts_is(d->in, MTA_STS_ENFORCE) && !d->optional;
	publish_sts(d);
	name_is(o, d->in->mx_host);
	o->note = !force;
	if (!mta_sts_match(d->in->sts, d->in->mx_host)) {
		not_named(d);
		return;
	}
	o->words = origin_say(d->a, "MTA-STS %s: %.*s is among the hosts of the policy", mta_sts_mode_name(d->in->sts->mode), PSTR(str_head(d->in->mx_host, 200)));
	if (force)
		need_pkix(o);
}

/* RFC 7672 2.1.2: what is not known about this host's TLSA records may be a demand. */
static void dane_missing(struct deciding *d)
{
	struct tls_policy_out *o = d->out;
	o->type = TLS_POLICY_TLSA;
	o->words = origin_say(d->a, "DANE: %.*s", PSTR(str_head(d->in->dane->why, 400)));
	if (d->optional && has_address(d->in->dane)) {
		o->result = "dnssec-invalid";
		o->note = true;
		return;
	}
	refuse(o, "dnssec-invalid", o->words);
	o->later = true;
}

static void unusable_tlsa(struct deciding *d)
{
	publish_tlsa(d);
	d->out->sni = d->in->dane->base;
	/* RFC 7672 2.2: TLS without a verified certificate where every record is unusable */
	d->out->need_tls = !d->optional;
	d->out->words = origin_say(d->a, "DANE: %.*s", PSTR(str_head(d->in->dane->why, 400)));
}

static void by_receiver(struct deciding *d)
{
	bool sts = sts_is(d->in, MTA_STS_ENFORCE) || sts_is(d->in, MTA_STS_TESTING);
	switch (dane_of(d->in)) {
	case DANE_LATER:
		dane_missing(d);
		return;
	case DANE_USABLE:
		by_dane(d);
		if (sts_is(d->in, MTA_STS_ENFORCE) && !d->in->mx_secure && !mta_sts_match(d->in->sts, d->in->mx_host))
			not_named(d);
		return;
	case DANE_UNUSABLE:
		unusable_tlsa(d);
		if (sts_is(d->in, MTA_STS_ENFORCE))
			by_sts(d);
		return;
	case DANE_NONE:
		if (sts)
			by_sts(d);
	}
}

/* ---- our side's demands ---- */

static bool below(struct str host, struct str domain)
{
	return str_ieq(host, domain) || (host.n > domain.n && str_iends(host, domain) && host.p[host.n - domain.n - 1] == '.');
}

/* A certificate for a host that a forged MX record can have named proves nothing: then it is to be for the destination's own domain. */
static bool host_is_sure(const struct tls_policy_in *in)
{
	return in->given || in->mx_secure || below(in->mx_host, in->next_hop) || (in->sts && in->sts->mode != MTA_STS_NONE && mta_sts_match(in->sts, in->mx_host));
}

static void need_verified(struct deciding *d, const char *who)
{
	struct tls_policy_out *o = d->out;
	if (dane_of(d->in) == DANE_USABLE && host_is_sure(d->in)) {
		o->need_tls = true;
		o->verify = TLS_VERIFY_DANE;
		o->note = false; /* in force now, by our own will */
		return;
	}
	if (o->verify == TLS_VERIFY_NOT)
		name_is(o, host_is_sure(d->in) ? d->in->mx_host : d->in->next_hop);
	if (o->verify == TLS_VERIFY_DANE) { /* in force, of a host that is not sure: the destination's own name is asked for instead */
		name_is(o, d->in->next_hop);
		o->verify = TLS_VERIFY_PKIX;
	}
	need_pkix(o);
	o->words = origin_say(d->a, "%.*s%s%s: a certificate for %.*s", PSTR(str_head(o->words, 250)), o->words.n ? "; " : "", who, PSTR(str_head(o->names[0], 200)));
}

/* RFC 8689 4.2.1, step 2: if the server was found by an MX record and that "is not accompanied by a valid DNSSEC signature, the client MUST also validate the SMTP server name
 * using MTA-STS": a host that a forged record names would else read the message with a sound certificate of its own. */
static bool mx_is_validated(const struct tls_policy_in *in)
{
	return in->given || in->mx_secure || str_ieq(in->mx_host, in->next_hop) || (in->sts && in->sts->mode != MTA_STS_NONE && mta_sts_match(in->sts, in->mx_host));
}

static void by_message(struct deciding *d)
{
	struct tls_policy_out *o = d->out;
	const struct tls_policy_in *in = d->in;
	if (!mx_is_validated(in)) {
		refuse(o, o->result, origin_say(d->a, "the message requires TLS, and nothing proves that %.*s is a server of %.*s: its MX record is not signed, and no MTA-STS policy names it",
		                         PSTR(str_head(in->mx_host, 200)), PSTR(str_head(in->next_hop, 200))));
		return;
	}
	o->need_requiretls = true;
	/* RFC 8689 4.2.1: "The hostname from the MX record lookup [...] MUST match the DNS-ID or CN-ID of the certificate presented by the server." */
	if (o->verify == TLS_VERIFY_NOT)
		need_verified(d, "the message requires TLS");
}

static void by_us(struct deciding *d)
{
	struct tls_policy_out *o = d->out;
	const struct tls_policy_in *in = d->in;
	if (in->directory == TLS_DIRECTORY_VERIFIED || (in->login && in->directory == TLS_DIRECTORY_DEFAULT))
		need_verified(d, in->directory == TLS_DIRECTORY_VERIFIED ? "your directory wants it verified" : "a password is said there");
	if (in->directory == TLS_DIRECTORY_ENCRYPTED && !o->need_tls) {
		o->need_tls = true;
		o->words = origin_say(d->a, "%.*s%syour directory wants it encrypted", PSTR(str_head(o->words, 400)), o->words.n ? "; " : "");
	}
	if (in->require_tls)
		by_message(d);
}

/* A host that nothing proves, while the policy that might prove it could not be asked for: that is no failure of the message's, but a matter of time. */
static void not_known_yet(struct deciding *d)
{
	struct tls_policy_out *o = d->out;
	if (o->allowed || o->later || !d->in->require_tls || !d->in->sts_later)
		return;
	o->later = true;
	o->words = origin_say(d->a, "%.*s; the MTA-STS policy of %.*s, which may change that, cannot be had now", PSTR(str_head(o->words, 250)), PSTR(str_head(d->in->next_hop, 150)));
}

static void never(struct deciding *d)
{
	struct tls_policy_out *o = d->out;
	o->try_tls = false;
	if (d->in->require_tls)
		refuse(o, "", STR("the message requires TLS, and your directory says that this destination never gets it"));
	else
		o->words = STR("your directory says: never TLS");
}

void tls_policy(const struct tls_policy_in *in, struct arena *a, struct tls_policy_out *out)
{
	/* RFC 8689 4.1: with REQUIRETLS, "TLS-Required: No" is ignored. */
	struct deciding d = { .in = in, .out = out, .a = a, .optional = in->tls_optional && !in->require_tls };
	*out = (struct tls_policy_out){ .allowed = true, .try_tls = true, .sni = in->mx_host, .result = "", .words = STR("") };
	name_is(out, in->mx_host);
	if (in->directory == TLS_DIRECTORY_NONE) {
		never(&d);
		return;
	}
	by_receiver(&d);
	if (out->allowed)
		by_us(&d);
	not_known_yet(&d);
	if (!out->words.n)
		out->words = STR("nothing is published: TLS is tried, any certificate");
	if (a->full) {
		refuse(out, "", STR("no memory to decide about TLS"));
		out->later = true;
	}
}
