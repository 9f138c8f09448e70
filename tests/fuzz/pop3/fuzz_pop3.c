#include "base/buf.h"
#include "dialog/pop3/house.h"
#include "pop3/body.h"

#include <stdint.h>

/* A whole POP3 session on hostile input, and a hostile message through RETR.
 * Octets 0-3: switches; octet 4: length of a message; then the message; the rest is what the client says. */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void must(bool claim)
{
	if (!claim)
		__builtin_trap();
}

/* What a client makes of a multi-line response must be the message, with a CRLF at its end if it had none. */
static void body_round_trip(struct str body, size_t chunk)
{
	struct buf out;
	struct pop3_body b;
	buf_init(&out, 1 << 16);
	struct stream *io = stream_of_memory((struct stream_memory){ .out = &out, .fail_at = -1 });
	if (!io)
		return;
	pop3_body_begin(&b, io);
	for (size_t at = 0; at < body.n; at += chunk)
		pop3_body_write(&b, str_head(str_skip(body, at), chunk));
	pop3_body_end(&b);
	must(stream_flush(io) == RC_OK);
	stream_free(&io);
	struct str sent = buf_str(&out);
	size_t at = 0;
	bool line_start = true;
	for (size_t i = 0; i < sent.n; i++) {
		if (line_start && sent.p[i] == '.') {
			if (i + 3 == sent.n)
				break;
			must(sent.p[++i] == '.');
		}
		if (at < body.n)
			must(sent.p[i] == body.p[at]);
		else
			must(sent.p[i] == (at == body.n ? '\r' : '\n') && !str_ends(body, STR("\r\n")));
		line_start = sent.p[i] == '\n';
		at++;
	}
	must(at == body.n || at == body.n + 2);
	must(str_ends(sent, body.n ? STR("\r\n.\r\n") : STR(".\r\n")));
	buf_done(&out);
}

static void note(void *arg)
{
	*(bool *)arg = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	if (n < 5 || n > 65536)
		return 0;
	struct str in = str_of(data + 5, n - 5), body = str_head(in, data[4]);
	bool removing = false;
	struct pop3_house house = { .user = STR("u"), .password = STR("p"), .uidvalidity = 1, .chunk = 1 + data[1] % 16u, .at_expunge = note, .arg = &removing };
	struct pop3_config config = { .hostname = STR("h"), .plaintext_login = data[0] & 1, .max_errors = data[2] % 8u };
	struct pop3_hooks hooks = house_hooks(&house);
	struct buf out;
	static const enum rc outcomes[] = { RC_OK, RC_OK, RC_OK, RC_BUSY, RC_DAMAGED, RC_FULL, RC_OK, RC_OK };
	house_put(&house, body);
	house_put(&house, STR("Subject: x\r\n\r\n.\r\nend"));
	house.read_rc = outcomes[(data[0] >> 4) & 7];
	house.read_fails_from = data[1];
	house.expunge_rc = outcomes[data[3] & 7];
	house.list_rc = outcomes[(data[3] >> 3) & 7];
	buf_init(&out, 4 << 20);
	struct stream *io = stream_of_memory((struct stream_memory){ .in = str_skip(in, body.n), .chunk = data[1], .out = &out,
		.fail_at = data[3] & 0x80 ? data[2] * 2L : -1, .can_tls = data[0] & 2, .is_tls = data[0] & 4 });
	if (io) {
		enum rc rc = pop3_serve(io, &config, &hooks);
		must(house.logins == house.logouts);
		must(!removing || rc == RC_OK || (data[3] & 0x80)); /* only QUIT ends with RC_OK */
		stream_free(&io);
	}
	buf_done(&out);
	body_round_trip(body, 1 + data[1] % 16u);
	return 0;
}
