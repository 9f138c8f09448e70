#include "fuzz.h"

#include "os/loop.h"
#include <assert.h>

#define H "From: Bob <bob@corp.example>\r\nTo: Alice <alice@corp.example>\r\nDate: Mon, 7 Feb 1994 21:52:25 -0800\r\n"
static const struct str messages[] = {
	STR_INIT(H "Subject: first\r\n\r\nHello, this is one.\r\n"),
	STR_INIT(H "Subject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\ninner text\r\n--b\r\n"
	           "Content-Type: message/rfc822\r\n\r\nSubject: inner\r\n\r\nbody\r\n--b--\r\n"),
};

int fuzz_session(const char *prefix, const uint8_t *data, size_t n)
{
	struct house house;
	struct buf in, out;
	static const size_t chunks[] = { 0, 1, 3, 17 };
	if (!n || n > 100000)
		return 0;
	wall_ms_fixed = 1790000000000;
	house_init(&house);
	for (size_t i = 0; i < 4; i++)
		house_deliver(&house, house_box(&house, "INBOX"), messages[i % 2], 760000000000 + (int64_t)i * 86400000);
	house_expunge(&house, house_box(&house, "INBOX"), 3);
	house_box(&house, "INBOX")->messages[2].is_damaged = data[0] & 4;
	buf_init(&in, 200000);
	buf_init(&out, 64 << 20);
	buf_add(&in, str_z(prefix));
	buf_add(&in, str_of(data + 1, n - 1));
	struct imap_hooks hooks = house_hooks(&house);
	struct imap_config config = { .hostname = STR("fuzz"), .plaintext_login = true, .max_append = 10000, .idle_ms = 1800000, .prelogin_ms = 60000,
	                              .max_errors = 1000 };
	struct stream *s = stream_of_memory((struct stream_memory){ .in = buf_str(&in), .chunk = chunks[data[0] & 3], .out = &out, .fail_at = -1, .can_tls = true });
	assert(s);
	house.io = s;
	(void)imap_serve(s, &config, &hooks);
	house.io = NULL;
	assert(house.cursors == 0 && house.opens == house.closes && house.logins == house.logouts && house.append_box == 0);
	assert(out.len >= 5 && memcmp(out.p, "* OK ", 5) == 0);
	stream_free(&s);
	buf_done(&in);
	buf_done(&out);
	house_done(&house);
	return 0;
}
