/*
 * How many processors this process may use: those in the calling thread's affinity mask, and no more
 * than the CPU quota of its control group.
 */
#ifndef JEMI_BASE_PROCESSORS_H
#define JEMI_BASE_PROCESSORS_H

/** Looked up anew; >= 1. A quota of 1.5 processors counts as 2. */
int jemi_processors_count(void);

/** The last count, without looking it up again. */
int jemi_processors_known(void);

/**
 * The smallest quota of the groups that `membership` (/proc/self/cgroup) names and of those above
 * them, rounded up to processors; 0 = none.
 *
 * @param mount  Where the control groups are, /sys/fs/cgroup.
 */
int jemi_processors_quota(const char *membership, const char *mount);

#endif
