#pragma once
#include <stdbool.h>

/* Two syncs at once. A commit has to sync bodies (segment) and pages (index) before LMDB writes its header; one after the other that
 * is three waits for the disk, side by side it is two (measured: 15 ms and 7 ms). LMDB syncs its pages by fdatasync() in the middle of
 * mdb_txn_commit(). That call comes to our own fdatasync() (joint.c), which syncs the pages and then waits until the bodies are down,
 * too: the order "bodies and pages, then header" holds as before, and a failure of either fails LMDB's commit.
 *
 * Whether the call really comes here depends on how the program was linked. joint_probe() finds out in a commit without bodies;
 * where it does not, the bodies are synced first. */
struct joint;
struct joint *joint_new(void);                  /* NULL: no memory. The thread starts with the first job, so inside the sandbox */
void joint_free(struct joint **j);
bool joint_start(struct joint *j, int fd);      /* the calling thread's next fdatasync() waits for this one, too; false: not possible */
int joint_end(struct joint *j);                 /* 0, or the errno of the sync of `fd`; after it nothing is under way */
void joint_probe(struct joint *j, bool on);     /* between on and off: does an fdatasync() of this thread come here? */
bool joint_works(const struct joint *j);
int joint_fdatasync(int fd);                    /* what our fdatasync() does */
int joint_beside(void);                         /* the descriptor this thread's next fdatasync() waits for as well, or -1 */
