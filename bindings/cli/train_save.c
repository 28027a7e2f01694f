/*
 * Where a trained model goes, and where else if it cannot go there: the disk may have filled up, the
 * folder may have gone, or whoever read the pipe.
 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output.h"
#include "train.h"

// A new file in that folder, or none.
static bool save_in(const cli_train_run *run, const char *folder, char place[CLI_TRAIN_PATH_SIZE])
{
    snprintf(place, CLI_TRAIN_PATH_SIZE, "%s/jem-model-XXXXXX", folder);
    const int fd = mkstemp(place);
    if (fd < 0)
        return false;
    close(fd);
    if (jem_model_save(run->model, place) == JEM_OK)
        return true;
    unlink(place);
    return false;
}

// Also where the path leads to a folder by now.
static bool save_beside(const cli_train_run *run, char place[CLI_TRAIN_PATH_SIZE])
{
    jemi_target target;
    char folder[PATH_MAX];
    jemi_target_find(&target, run->args->out);
    return target.kind != JEMI_TARGET_STREAM &&
           save_in(run, jemi_target_directory(&target, folder), place);
}

static bool save_elsewhere(const cli_train_run *run, char place[CLI_TRAIN_PATH_SIZE])
{
    const char *temporary = getenv("TMPDIR");
    return save_beside(run, place) ||
           (temporary != NULL && temporary[0] == '/' && save_in(run, temporary, place)) ||
           save_in(run, "/tmp", place);
}

cli_status cli_train_save_model(const cli_train_run *run, char place[CLI_TRAIN_PATH_SIZE],
                                cli_error *err)
{
    snprintf(place, CLI_TRAIN_PATH_SIZE, "%s", run->args->out);
    const cli_status status = cli_jem(err, jem_model_save(run->model, place));
    if (status != CLI_OK && !save_elsewhere(run, place))
        place[0] = '\0';
    return status;
}
