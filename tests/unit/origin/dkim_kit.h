#pragma once
/* A DNS, keys and shorthand for the tests of DKIM and ARC. */
#include "../../conformance/origin/test_signer.h"
#include "dns/dns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

enum { KIT_NOW = 1700000000 };
struct kit {
	struct dns_table *table;
	struct arena a;
	struct dkim_options o;
	struct dkim_sign_options s;
	struct test_signer ed, rsa;          /* sel-ed, sel-rsa at example.org; rsa only after kit_rsa() */
	struct buf out;                      /* what was signed: signatures, then the message */
	struct why why;
};
extern const char kit_message[];             /* a plain message of example.org */
int kit_setup(void **state);
int kit_teardown(void **state);
void kit_key(struct kit *k, const char *name, const char *record);
void kit_rsa(struct kit *k);                 /* makes an RSA-2048 key once per program */
struct dkim_result kit_verify(struct kit *k, struct str message);
struct dkim_signature kit_only(struct kit *k); /* the one signature of k->out, judged */
/* k->out = signed with `ed` under k->s. */
void kit_sign(struct kit *k, const char *message);
void kit_replace(struct kit *k, const char *from, const char *to); /* in k->out, first place; fails the test when it is not there */
bool kit_why(const struct dkim_signature *s, const char *part);
const char *kit_data(void);                  /* folder of the vectors */
bool kit_read(const char *path, struct buf *out); /* path below kit_data() */
