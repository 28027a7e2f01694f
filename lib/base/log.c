/*
 * The process-wide log receiver. A reader-writer lock lets many threads log at once, and makes sure
 * that a removed receiver is not running any more when its removal returns.
 */
#include "base/log.h"

#include <pthread.h>
#include <stdarg.h>

#include "base/text.h"
#include "base/utf8.h"

enum { LINE_SIZE = 1024 };

static pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
static jem_log_fn receiver;
static void *receiver_user;

void jemi_log_set(jem_log_fn log, void *user)
{
    pthread_rwlock_wrlock(&lock);
    receiver = log;
    receiver_user = user;
    pthread_rwlock_unlock(&lock);
}

void jemi_log(int32_t level, const char *format, ...)
{
    pthread_rwlock_rdlock(&lock);
    if (receiver != NULL) {
        char line[LINE_SIZE];
        va_list arguments;
        va_start(arguments, format);
        jemi_format_list(line, sizeof line, format, arguments);
        va_end(arguments);
        jemi_utf8_make_showable(line);
        receiver(receiver_user, level, line);
    }
    pthread_rwlock_unlock(&lock);
}
