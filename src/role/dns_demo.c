#include "role/dns_demo.h"

#include "dns/dns.h"
#include "role/dns_want.h"

static const char *const domains[] = { "demo.test", "demo2.test" };

static void put_domain(const struct dns_demo *demo, struct buf *b, const char *d, bool wrong)
{
	buf_addf(b, "\n$ORIGIN %s.\n@ SOA mail.demo.test. postmaster 1 3600 600 864000 60\n  NS mail.demo.test.\n  MX 10 mail.demo.test.\n", d);
	buf_addf(b, "  TXT \"v=spf1 ip4:127.0.0.1 ip6:::1 mx -all\"\n");
	buf_addf(b, "_dmarc TXT \"v=DMARC1; p=%s; rua=mailto:dmarc-reports@%s\"\n", wrong ? "none" : "reject", d);
	buf_addf(b, "_smtp._tls TXT \"v=TLSRPTv1; rua=mailto:tls-reports@%s\"\n", d);
	if (wrong)
		buf_add(b, STR("; wrong on purpose: it must be v=STSv1\n_mta-sts TXT \"v=STS1; id=1\"\n"));
	else
		buf_add(b, STR("_mta-sts TXT \"v=STSv1; id=1\"\n"));
	buf_addf(b, "mta-sts CNAME mail.demo.test.\nautoconfig CNAME mail.demo.test.\nautodiscover CNAME mail.demo.test.\n");
	buf_addf(b, "_imaps._tcp SRV 0 1 %u mail.demo.test.\n_pop3s._tcp SRV 0 1 %u mail.demo.test.\n", demo->imaps, demo->pop3s);
	for (size_t i = 0; i < demo->key_n; i++) {
		const struct dkim_row *k = &demo->keys[i];
		if (!str_eq(k->domain, str_z(d)) || k->state == VAULT_DKIM_REVOKED)
			continue;
		buf_addf(b, "%.*s._domainkey TXT ( ", PSTR(k->selector));
		dns_txt_quoted(k->record, b);
		buf_add(b, STR(" )\n"));
	}
}

void dns_demo_zone(const struct dns_demo *demo, struct buf *b)
{
	buf_add(b, STR("; Kept by `letterlock demo`: what you change is changed back at its next start. Served by the role resolver; no question leaves the machine.\n$TTL 60\n"));
	for (size_t i = 0; i < sizeof(domains) / sizeof(domains[0]); i++)
		put_domain(demo, b, domains[i], i == 1);
	buf_add(b, STR("\n$ORIGIN demo.test.\n"));
	if (demo->tlsa.n)
		buf_addf(b, "_25._tcp.mail TLSA %.*s\n", PSTR(demo->tlsa));
	buf_add(b, STR("mail A 127.0.0.1\n     AAAA ::1\n     TXT \"v=spf1 a -all\"\n"
	               "stranger TXT \"v=spf1 ip4:192.0.2.0/24 -all\"\n"
	               "\n$ORIGIN 127.in-addr.arpa.\n@ SOA mail.demo.test. postmaster.demo.test. 1 3600 600 864000 60\n  NS mail.demo.test.\n1.0.0 PTR mail.demo.test.\n"
	               "\n$ORIGIN 1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.ip6.arpa.\n"
	               "@ SOA mail.demo.test. postmaster.demo.test. 1 3600 600 864000 60\n  NS mail.demo.test.\n  PTR mail.demo.test.\n"));
}

bool dns_demo_reads(struct str zone)
{
	struct dns_table *t = NULL;
	struct why why = { 0 };
	bool reads = dns_table_new(&t) == RC_OK && dns_table_read(t, zone, STR(""), &why) == RC_OK;
	dns_table_free(&t);
	return reads;
}
