/*
 * The tar format as far as archives of data need it: blocks of 512 bytes, each file a header and
 * its content. Only the last part of a path is looked at, and nothing is ever written by it.
 */
#include "tar.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK = 512, NAME_SIZE = 100, SIZE_AT = 124, SUM_AT = 148, TYPE_AT = 156, FIELD_SIZE = 8 };

static cli_status not_a_tar(const cli_source *source, cli_error *err)
{
    return cli_fail(err, "%s is not a tar archive", source->path);
}

// Digits after spaces, ended by a space, a NUL or the field. -1 for anything else.
static int64_t octal(const char *field, int length)
{
    int64_t value = 0;
    int i = 0, first;
    while (i < length && field[i] == ' ')
        i++;
    for (first = i; i < length && field[i] >= '0' && field[i] <= '7'; i++)
        value = value * 8 + (field[i] - '0');
    const bool ended = i == length || field[i] == ' ' || field[i] == '\0';
    return i > first && ended ? value : -1;
}

// The sum of all bytes, those of the sum itself taken as spaces.
static int64_t sum_of(const char *block)
{
    int64_t sum = 0;
    for (int i = 0; i < BLOCK; i++)
        sum += i >= SUM_AT && i < SUM_AT + FIELD_SIZE ? ' ' : (unsigned char)block[i];
    return sum;
}

static bool is_empty(const char *block)
{
    for (int i = 0; i < BLOCK; i++)
        if (block[i] != '\0')
            return false;
    return true;
}

static void take_name(cli_tar_entry *entry, const char *block)
{
    char path[NAME_SIZE + 1] = "";
    memcpy(path, block, NAME_SIZE);
    const char *slash = strrchr(path, '/');
    const bool is_file = block[TYPE_AT] == '0' || block[TYPE_AT] == '\0';
    strcpy(entry->name, !is_file ? "" : slash != NULL ? slash + 1 : path);
}

cli_status cli_tar_next(cli_source *source, cli_tar_entry *entry, bool *more, cli_error *err)
{
    char block[BLOCK];
    int64_t got;
    *more = false;
    CLI_TRY(cli_source_read_some(source, block, BLOCK, &got, err));
    if (got == 0 || (got == BLOCK && is_empty(block)))
        return CLI_OK;
    if (got < BLOCK || octal(block + SUM_AT, FIELD_SIZE) != sum_of(block))
        return not_a_tar(source, err);
    entry->size = octal(block + SIZE_AT, 12);
    if (entry->size < 0)
        return not_a_tar(source, err);
    take_name(entry, block);
    *more = true;
    return CLI_OK;
}

cli_status cli_tar_skip(cli_source *source, const cli_tar_entry *entry, cli_error *err)
{
    char block[BLOCK];
    for (int64_t left = entry->size; left > 0; left -= BLOCK)
        CLI_TRY(cli_source_read(source, block, BLOCK, err));
    return CLI_OK;
}

cli_status cli_tar_read(cli_source *source, const cli_tar_entry *entry, uint8_t **content,
                        cli_error *err)
{
    char rest[BLOCK];
    CLI_TRY(cli_source_expect(source, entry->size, err));
    CLI_TRY(cli_alloc(content, entry->size, 1, err));
    cli_status status = cli_source_read(source, *content, entry->size, err);
    if (status == CLI_OK)
        status = cli_source_read(source, rest, (BLOCK - entry->size % BLOCK) % BLOCK, err);
    if (status != CLI_OK) {
        free(*content);
        *content = NULL;
    }
    return status;
}
