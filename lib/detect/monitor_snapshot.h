/*
 * A monitor as bytes, the same on all machines: 8-byte words, little-endian.
 *
 *     "jem-mon" and a zero byte, the format's number, law, state, zeros, digest of all before it
 */
#ifndef JEMI_DETECT_MONITOR_SNAPSHOT_H
#define JEMI_DETECT_MONITOR_SNAPSHOT_H

#include "detect/monitor.h"

void jemi_monitor_snapshot_write(const jem_monitor *monitor,
                                 unsigned char bytes[JEM_MONITOR_SNAPSHOT_BYTES]);

/** Bytes from anywhere. @return JEM_OK, JEM_EFORMAT, JEM_ENOMEM; *out is written on JEM_OK only. */
jem_status jemi_monitor_snapshot_read(jem_monitor **out,
                                      const unsigned char bytes[JEM_MONITOR_SNAPSHOT_BYTES]);

#endif
