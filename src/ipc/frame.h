#pragma once
#include "ipc/codec.h"

/* One frame as it travels: a fixed header, then the payload, inline or in a sealed memfd. */
enum frame_kind { FRAME_ASK = 1, FRAME_ANSWER, FRAME_TELL };
enum { FRAME_HEADER = 20, FRAME_INLINE_MAX = 124 * 1024, FRAME_IN_MEMFD = 1, FRAME_HAS_FD = 2 };
struct frame_header {
	uint8_t kind, flags;
	uint16_t type;
	uint32_t slot, generation; /* of the asker */
	uint64_t length;           /* of the payload */
};
void frame_header_put(struct buf *out, const struct frame_header *h);
MUST_USE enum rc frame_header_get(struct str in, struct frame_header *out);

/* A received payload, owned. Wiped on release when it held a secret. */
struct ipc_frame {
	struct str payload;
	void *map; size_t map_len; /* or heap bytes behind the struct */
	bool secret;
};
MUST_USE enum rc frame_of_bytes(struct str payload, struct ipc_frame **out);
/* Maps a memfd after checking that its size is right and that it can neither shrink nor change. Closes the descriptor. */
MUST_USE enum rc frame_of_memfd(int take_fd, uint64_t length, struct ipc_frame **out, struct why *why);
void frame_free(struct ipc_frame **f);

/* Sends header + pieces as one datagram. RC_AGAIN: the channel is full. `fd` < 0: none. */
MUST_USE enum rc frame_send(int sock, struct frame_header h, const struct ipc_pieces *p, int fd);
/* Receives what is there, at most FRAMES datagrams, into the rooms, with one system call. Each has an outcome: RC_OK, RC_CLOSED (the peer
 * has ended; nothing follows) or RC_SYNTAX (too large); fd is -1 or a descriptor that came along; `lost`: one did for which this process had no
 * room. RC_AGAIN: nothing there. RC_CLOSED. */
enum { FRAMES = 4, FRAME_ROOM = 128 * 1024 };
struct received { enum rc rc; struct str datagram; int fd; bool lost; };
MUST_USE enum rc frames_recv(int sock, char rooms[FRAMES][FRAME_ROOM], struct received out[FRAMES], size_t *out_n);
