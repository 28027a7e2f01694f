/*
 * lib/io/safetensors: files made to mislead the reader. Every row says which status it must get and
 * a word that the message must hold, so that a row cannot pass for another row's reason.
 *
 * In the tables ' stands for " in headers, and the length before the header is made to fit.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <check.h>

#include "base/status.h"
#include "io/safetensors.h"

#define COUNT(array) ((int)(sizeof(array) / sizeof((array)[0])))

static void put_u64(unsigned char *out, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        out[i] = (unsigned char)(value >> 8 * i);
}

// Parses a copy of exactly these bytes, so that a sanitizer sees a read beyond them.
static jem_status parse(const void *bytes, size_t size, jemi_safetensors *out)
{
    unsigned char *copy = malloc(size > 0 ? size : 1);
    ck_assert_ptr_nonnull(copy);
    if (size > 0)
        memcpy(copy, bytes, size);
    const jem_status status = jemi_safetensors_parse(copy, size, out);
    free(copy);
    return status;
}

static void check_refused(const char *name, const void *bytes, size_t size, jem_status expected,
                          const char *word)
{
    jemi_safetensors file;
    memset(&file, 0x5a, sizeof file);
    const jem_status status = parse(bytes, size, &file);
    ck_assert_msg(status == expected, "%s: status %s (%s), expected %s", name,
                  jemi_status_name(status), status != JEM_OK ? jemi_last_message() : "accepted",
                  jemi_status_name(expected));
    ck_assert_msg(strstr(jemi_last_message(), word) != NULL, "%s: '%s' lacks '%s'", name,
                  jemi_last_message(), word);
    ck_assert_msg(strchr(jemi_last_message(), '\n') == NULL, "%s: more than a line", name);
    ck_assert_msg(file.tensors == NULL && file.n_tensors == 0 && file.text == NULL &&
                      file.metadata == NULL,
                  "%s: not zeroed", name);
}

/* ---- the frame ------------------------------------------------------------------------------ */

typedef struct frame_row {
    const char *name;
    uint64_t claimed; /* header length */
    const char *rest; /* all that follows it */
    int size;         /* of the file */
    jem_status status;
    const char *word;
} frame_row;

static const frame_row frames[] = {
    {"empty file", 0, "", 0, JEM_EFORMAT, "0 bytes"},
    {"one byte", 2, "", 1, JEM_EFORMAT, "1 bytes"},
    {"seven bytes of length", 2, "", 7, JEM_EFORMAT, "7 bytes"},
    {"no header", 0, "", 8, JEM_EFORMAT, "start with '{'"},
    {"no header, some data", 0, "{}", 10, JEM_EFORMAT, "start with '{'"},
    {"header cut", 3, "{}", 10, JEM_EFORMAT, "ends after 2"},
    {"header missing", 2, "", 8, JEM_EFORMAT, "ends after 0"},
    {"header length one short", 1, "{}", 10, JEM_EFORMAT, "found its end"},
    {"8 + length wraps to 0", UINT64_MAX - 7, "{}", 10, JEM_EFORMAT, "at most"},
    {"length 2^64 - 1", UINT64_MAX, "{}", 10, JEM_EFORMAT, "at most"},
    {"length 2^63", (uint64_t)1 << 63, "{}", 10, JEM_EFORMAT, "at most"},
    {"length 2^32 + 2", ((uint64_t)1 << 32) + 2, "{}", 10, JEM_EFORMAT, "at most"},
    {"length in big-endian", (uint64_t)2 << 56, "{}", 10, JEM_EFORMAT, "at most"},
    {"the format's own limit", 100000000, "{}", 10, JEM_EFORMAT, "at most 16777216"},
    {"one above our limit", (16 << 20) + 1, "{}", 10, JEM_EFORMAT, "at most 16777216"},
    {"our limit, short file", 16 << 20, "{}", 10, JEM_EFORMAT, "ends after 2"},
    {"trailing byte", 2, "{}x", 11, JEM_EFORMAT, "has 1 of data"},
    {"space before the brace", 3, " {}", 11, JEM_EFORMAT, "start with '{'"},
    {"byte order mark", 5, "\xEF\xBB\xBF{}", 13, JEM_EFORMAT, "start with '{'"},
    {"array at the top", 2, "[]", 10, JEM_EFORMAT, "start with '{'"},
    {"zip file, as PyTorch saves", 0x0000080800040304, "PK", 10, JEM_EFORMAT, "at most"},
};

START_TEST(refuses_frame)
{
    const frame_row *row = &frames[_i];
    unsigned char bytes[64] = {0};
    put_u64(bytes, row->claimed);
    memcpy(bytes + 8, row->rest, strlen(row->rest));
    check_refused(row->name, bytes, (size_t)row->size, row->status, row->word);
}
END_TEST

/* ---- headers -------------------------------------------------------------------------------- */

typedef struct header_row {
    const char *name;
    const char *header;
    size_t data_size;
    jem_status status;
    const char *word;
} header_row;

#define AB(fields)       "{'ab':{" fields "}}"
#define GOOD             "'dtype':'F32','shape':[2],'data_offsets':[0,8]"
#define OFFSETS(offsets) AB("'dtype':'F32','shape':[2],'data_offsets':" offsets)
#define SHAPE(shape)     AB("'dtype':'F32','shape':" shape ",'data_offsets':[0,8]")
#define DTYPE(dtype)     AB("'dtype':" dtype ",'shape':[2],'data_offsets':[0,8]")
#define TWO(a, b)                                                                                  \
    "{'a':{'dtype':'F32','shape':[1],'data_offsets':" a "},"                                       \
    "'b':{'dtype':'F32','shape':[1],'data_offsets':" b "}}"
#define META(members) "{'__metadata__':" members "}"
#define NAMED(name)   "{'" name "':{" GOOD "}}"
#define EURO          "\xE2\x82\xAC"
#define EUROS                                                                                      \
    EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO \
        EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO EURO
#define X15  "xxxxxxxxxxxxxxx"
#define X255 X15 X15 X15 X15 X15 X15 X15 X15 X15 X15 X15 X15 X15 X15 X15 X15 X15

enum { BAD = JEM_EFORMAT, UNSUPPORTED = JEM_EUNSUPPORTED };

static const header_row headers[] = {
    // JSON
    {"unclosed object", "{", 0, BAD, "byte 1: expected a string, found its end"},
    {"unclosed tensor", "{'ab':{" GOOD, 8, BAD, "expected ',' or '}', found its end"},
    {"closed twice", "{}}", 0, BAD, "expected nothing more, found '}'"},
    {"two objects", "{}{}", 0, BAD, "nothing more"},
    {"NUL padding", "{}\0\0", 0, BAD, "found 0x00"},
    {"comma at the end", "{'ab':{" GOOD "},}", 8, BAD, "a string, found '}'"},
    {"comma at the start", "{,'ab':{" GOOD "}}", 8, BAD, "a string, found ','"},
    {"comma missing", "{'a':{" GOOD "}'b':{" GOOD "}}", 8, BAD, "',' or '}'"},
    {"colon missing", "{'ab'{" GOOD "}}", 8, BAD, "expected ':'"},
    {"key without quotes", "{ab:{" GOOD "}}", 8, BAD, "a string, found 'a'"},
    {"comment", "{/* */'ab':{" GOOD "}}", 8, BAD, "a string, found '/'"},
    {"array closed by a brace", SHAPE("[2}"), 8, BAD, "',' or ']'"},
    {"object closed by a bracket", "{'ab':{" GOOD "]}", 8, BAD, "',' or '}'"},
    {"form feed as space", "{\f}", 0, BAD, "found 0x0c"},
    {"unclosed string", "{'ab", 0, BAD, "found its end"},
    {"backslash at the end", "{'ab\\", 0, BAD, "an escape"},
    {"unknown escape", "{'a\\q':{" GOOD "}}", 8, BAD, "an escape sequence, found 'q'"},
    {"escaped hex is short", "{'a\\u12':{" GOOD "}}", 8, BAD, "four hex digits"},
    {"escaped hex at the end", "{'a\\u12", 0, BAD, "four hex digits"},
    {"escaped hex with a sign", "{'a\\u+123':{" GOOD "}}", 8, BAD, "four hex digits"},
    {"control character", "{'a\nb':{" GOOD "}}", 8, BAD, "control character"},
    {"NUL in a name", "{'a\0b':{" GOOD "}}", 8, BAD, "control character"},
    {"escaped NUL in a name", NAMED("a\\u0000b"), 8, BAD, "NUL"},
    {"escaped NUL in a value", META("{'k':'\\u0000'}"), 0, BAD, "NUL"},
    {"lone high surrogate", NAMED("\\ud800"), 8, BAD, "surrogate"},
    {"lone low surrogate", NAMED("\\udc00"), 8, BAD, "surrogate"},
    {"high surrogate and a letter", NAMED("\\ud800\\u0041"), 8, BAD, "surrogate"},
    {"two high surrogates", NAMED("\\ud800\\ud800"), 8, BAD, "surrogate"},
    {"high surrogate at the end", "{'\\ud800", 0, BAD, "second half of a surrogate"},
    {"high surrogate, no hex", NAMED("\\ud800\\uzzzz"), 8, BAD, "four hex digits"},
    {"high surrogate, U+E000", NAMED("\\ud800\\ue000"), 8, BAD, "surrogate"},
    {"Latin-1", NAMED("\xE4\x62"), 8, BAD, "UTF-8"},
    {"overlong slash", NAMED("\xC0\xAF"), 8, BAD, "UTF-8"},
    {"overlong of three bytes", NAMED("\xE0\x80\xAF"), 8, BAD, "UTF-8"},
    {"overlong of four bytes", NAMED("\xF0\x80\x80\xAF"), 8, BAD, "UTF-8"},
    {"surrogate in UTF-8", NAMED("\xED\xA0\x80"), 8, BAD, "UTF-8"},
    {"above U+10FFFF", NAMED("\xF4\x90\x80\x80"), 8, BAD, "UTF-8"},
    {"stray continuation byte", NAMED("\x80"), 8, BAD, "UTF-8"},
    {"UTF-8 cut by the header's end", "{'\xE2\x82", 0, BAD, "UTF-8"},
    // members
    {"tensor is a number", "{'ab':1}", 0, BAD, "'{'"},
    {"tensor is a string", "{'ab':'x'}", 0, BAD, "'{'"},
    {"tensor is null", "{'ab':null}", 0, BAD, "'{'"},
    {"tensor is empty", "{'ab':{}}", 0, BAD, "lacks its dtype"},
    {"no dtype", AB("'shape':[2],'data_offsets':[0,8]"), 8, BAD, "lacks its dtype"},
    {"no shape", AB("'dtype':'F32','data_offsets':[0,8]"), 8, BAD, "lacks its shape"},
    {"no offsets", AB("'dtype':'F32','shape':[2]"), 8, BAD, "lacks its data_offsets"},
    {"unknown field", AB(GOOD ",'strides':[1]"), 8, BAD, "'strides'"},
    {"field in capitals", AB(GOOD ",'Dtype':'F32'"), 8, BAD, "'Dtype'"},
    {"dtype twice", AB(GOOD ",'dtype':'F32'"), 8, BAD, "dtype twice"},
    {"shape twice", AB(GOOD ",'shape':[2]"), 8, BAD, "shape twice"},
    {"offsets twice", AB(GOOD ",'data_offsets':[0,8]"), 8, BAD, "data_offsets twice"},
    {"shape twice, once escaped", AB(GOOD ",'sh\\u0061pe':[2]"), 8, BAD, "shape twice"},
    {"name is empty", NAMED(""), 8, BAD, "0 bytes"},
    {"name of 256 bytes", NAMED(X255 "y"), 8, BAD, "256 bytes"},
    {"name above the limit by an escape", NAMED(X255 "\\u20ac"), 8, BAD, "258 bytes"},
    {"name twice", "{'ab':{" GOOD "},'ab':{'dtype':'F32','shape':[1],'data_offsets':[8,12]}}", 12,
     BAD, "'ab' appears twice"},
    {"name twice, once escaped",
     "{'ab':{" GOOD "},'\\u0061b':{'dtype':'F32','shape':[1],'data_offsets':[8,12]}}", 12, BAD,
     "'ab' appears twice"},
    {"name twice, both empty",
     "{'ab':{'dtype':'F32','shape':[0],'data_offsets':[0,0]},"
     "'ab':{'dtype':'F32','shape':[0],'data_offsets':[0,0]}}",
     0, BAD, "'ab' appears twice"},
    {"name with a newline, bad shape", "{'a\\nb':{'shape':[1.5]}}", 8, BAD, "2^63"},
    {"name with a newline, no dtype", "{'a\\nb':{}}", 0, BAD, "'a?b' lacks"},
    {"long name cut within a character", "{'x" EUROS "':{}}", 0, BAD, EURO "?' lacks"},
    {"long name cut after a character", "{'xx" EUROS "':{}}", 0, BAD, EURO "' lacks"},
    {"long name cut before a character", "{'" EUROS "':{}}", 0, BAD, EURO "?\?' lacks"},
    // dtypes
    {"dtype is a number", DTYPE("32"), 8, BAD, "a string, found '3'"},
    {"F64 of another size", DTYPE("'F64'"), 8, BAD, "2 elements of F64, 16 bytes"},
    {"BOOL of another size", DTYPE("'BOOL'"), 8, BAD, "BOOL, 2 bytes"},
    {"half a byte", AB("'dtype':'F4','shape':[3],'data_offsets':[0,1]"), 1, BAD,
     "3 elements of F4"},
    {"overflow in bits", AB("'dtype':'F64','shape':[288230376151711744],'data_offsets':[0,0]"), 0,
     BAD, "overflows"},
    {"unknown dtype, overflow",
     AB("'dtype':'?','shape':[4294967296,4294967296],"
        "'data_offsets':[0,0]"),
     0, BAD, "overflows"},
    // shapes
    {"shape is a number", SHAPE("2"), 8, BAD, "'['"},
    {"shape is an object", SHAPE("{}"), 8, BAD, "'['"},
    {"shape holds a string", SHAPE("['2']"), 8, BAD, "2^63, found '\"'"},
    {"shape holds a list", SHAPE("[[2]]"), 8, BAD, "2^63, found '['"},
    {"negative dimension", SHAPE("[-2]"), 8, BAD, "2^63, found '-'"},
    {"number at the end", "{'ab':{'shape':[2", 0, BAD, "',' or ']', found its end"},
    {"zero at the end", "{'ab':{'shape':[0", 0, BAD, "',' or ']', found its end"},
    {"two negative dimensions", SHAPE("[-1,-2]"), 8, BAD, "2^63, found '-'"},
    {"minus zero", SHAPE("[-0]"), 8, BAD, "2^63, found '-'"},
    {"plus sign", SHAPE("[+2]"), 8, BAD, "2^63, found '+'"},
    {"fraction", SHAPE("[2.0]"), 8, BAD, "2^63, found '.'"},
    {"exponent", SHAPE("[2e0]"), 8, BAD, "2^63, found 'e'"},
    {"leading zero", SHAPE("[02]"), 8, BAD, "2^63, found '2'"},
    {"hexadecimal", SHAPE("[0x2]"), 8, BAD, "',' or ']'"},
    {"true", SHAPE("[true]"), 8, BAD, "2^63, found 't'"},
    {"NaN", SHAPE("[NaN]"), 8, BAD, "2^63, found 'N'"},
    {"2^63", SHAPE("[9223372036854775808]"), 8, BAD, "2^63, found"},
    {"2^64 + 2", SHAPE("[18446744073709551618]"), 8, BAD, "2^63, found"},
    {"number of 60 digits", SHAPE("[200000000000000000000000000000000000000000000000000000000000]"),
     8, BAD, "2^63, found"},
    {"product wraps to 0", SHAPE("[4294967296,4294967296]"), 8, BAD, "overflows"},
    {"product wraps to 2", SHAPE("[9223372036854775807,2,9223372036854775807,2]"), 8, BAD,
     "overflows"},
    {"bytes wrap to 8", SHAPE("[4611686018427387906]"), 8, BAD, "overflows"},
    {"wraps, then times 0", SHAPE("[4294967296,4294967296,0]"), 8, BAD, "overflows"},
    {"rank 9", SHAPE("[1,1,1,1,1,1,1,1,2]"), 8, BAD, "more than 8 dimensions"},
    {"too many elements", SHAPE("[3]"), 8, BAD, "12 bytes"},
    {"too few elements", SHAPE("[1]"), 8, BAD, "4 bytes"},
    {"no element", SHAPE("[2,0]"), 8, BAD, "0 elements"},
    {"scalar", SHAPE("[]"), 8, BAD, "1 elements"},
    // offsets
    {"offsets are a number", OFFSETS("8"), 8, BAD, "'['"},
    {"no offset", OFFSETS("[]"), 8, BAD, "two data_offsets"},
    {"one offset", OFFSETS("[8]"), 8, BAD, "two data_offsets"},
    {"three offsets", OFFSETS("[0,4,8]"), 8, BAD, "two data_offsets, not more"},
    {"offsets reversed", OFFSETS("[8,0]"), 8, BAD, "[8, 0]"},
    {"offsets beyond the data", OFFSETS("[0,8]"), 4, BAD, "within the 4 bytes"},
    {"offsets beyond the data, begin too", OFFSETS("[8,16]"), 8, BAD, "within the 8 bytes"},
    {"offsets near 2^63", OFFSETS("[9223372036854775799,9223372036854775807]"), 8, BAD, "within"},
    {"offset negative", OFFSETS("[-8,0]"), 8, BAD, "2^63, found '-'"},
    {"offset 2^64", OFFSETS("[0,18446744073709551624]"), 8, BAD, "2^63, found"},
    {"offset a float", OFFSETS("[0,8.0]"), 8, BAD, "2^63, found '.'"},
    {"gap at the start", OFFSETS("[4,12]"), 12, BAD, "expected 0, without gap"},
    {"trailing byte", OFFSETS("[0,8]"), 9, BAD, "the file has 9 of data"},
    {"gap", TWO("[0,4]", "[8,12]"), 12, BAD, "'b' begins at byte 8 of the data; expected 4"},
    {"overlap", TWO("[0,4]", "[2,6]"), 6, BAD, "'b' begins at byte 2 of the data; expected 4"},
    {"same place", TWO("[0,4]", "[0,4]"), 4, BAD, "overlap"},
    {"overlap in other order", TWO("[3,7]", "[0,4]"), 7, BAD, "'a' begins at byte 3"},
    {"gap in other order", TWO("[8,12]", "[0,4]"), 12, BAD, "'a' begins at byte 8"},
    {"empty tensor inside another",
     "{'a':{" GOOD "},'b':{'dtype':'F32','shape':[0],'data_offsets':[4,4]}}", 8, BAD,
     "'b' begins at byte 4"},
    {"data without tensors", "{}", 4, BAD, "the file has 4 of data"},
    // metadata
    {"metadata is a string", META("'x'"), 0, BAD, "'{'"},
    {"metadata is null", META("null"), 0, BAD, "'{'"},
    {"metadata is a list", META("['x']"), 0, BAD, "'{'"},
    {"metadata value is a number", META("{'k':1}"), 0, BAD, "a string, found '1'"},
    {"metadata value is null", META("{'k':null}"), 0, BAD, "a string, found 'n'"},
    {"metadata value is an object", META("{'k':{}}"), 0, BAD, "a string, found '{'"},
    {"metadata twice", "{'__metadata__':{},'__metadata__':{}}", 0, BAD, "__metadata__ appears"},
    {"metadata twice, once escaped", "{'__metadata__':{},'__meta\\u0064ata__':{}}", 0, BAD,
     "__metadata__ appears"},
    {"metadata key twice", META("{'k':'a','k':'b'}"), 0, BAD, "metadata 'k' appears"},
    {"metadata key twice, once escaped", META("{'k':'a','\\u006b':'a'}"), 0, BAD, "metadata 'k'"},
    {"metadata with a tensor's fields", META("{" GOOD "}"), 8, BAD, "a string, found '['"},
    // digest
    {"digest without its kind", META("{'jem.digest':'0000000000000000'}"), 0, BAD, "not both"},
    {"kind without a digest", META("{'jem.digest.kind':'crc64-xz'}"), 0, BAD, "not both"},
    {"digest of another kind", META("{'jem.digest.kind':'md5','jem.digest':'0'}"), 0, UNSUPPORTED,
     "another kind"},
    {"digest wrong", META("{'jem.digest.kind':'crc64-xz','jem.digest':'0000000000000000'}"), 0, BAD,
     "damaged, or was changed after libjem wrote it: its digest is"},
    {"digest empty", META("{'jem.digest.kind':'crc64-xz','jem.digest':''}"), 0, BAD, "not where"},
    {"digest short", META("{'jem.digest.kind':'crc64-xz','jem.digest':'000'}"), 0, BAD,
     "not where"},
    {"digest elsewhere",
     META("{'k':'','jem.digest.kind':'crc64-xz','jem.digest':'0000000000000000'}"), 0, BAD,
     "not where"},
    {"digest with spaces", META("{'jem.digest.kind': 'crc64-xz','jem.digest':'0000000000000000'}"),
     0, BAD, "not where"},
};

// Rows with a NUL within the header: how long it really is.
static size_t header_length(const header_row *row)
{
    if (strcmp(row->name, "NUL padding") == 0)
        return 4;
    if (strcmp(row->name, "NUL in a name") == 0)
        return 1 + strlen("{'a") + strlen("b':{" GOOD "}}");
    return strlen(row->header);
}

static unsigned char *frame_of(const char *header, size_t length, size_t data_size, size_t *size)
{
    *size = 8 + length + data_size;
    unsigned char *bytes = calloc(*size, 1);
    ck_assert_ptr_nonnull(bytes);
    put_u64(bytes, length);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < length; i++)
        if (bytes[8 + i] == '\'')
            bytes[8 + i] = '"';
    return bytes;
}

START_TEST(refuses_header)
{
    const header_row *row = &headers[_i];
    size_t size;
    unsigned char *bytes = frame_of(row->header, header_length(row), row->data_size, &size);
    check_refused(row->name, bytes, size, row->status, row->word);
    free(bytes);
}
END_TEST

/* ---- and what is odd but good ---------------------------------------------------------------- */

typedef struct good_row {
    const char *name;
    const char *header;
    size_t data_size;
    const char *tensors; /* expected names in order, each followed by a space */
} good_row;

static const good_row goods[] = {
    {"nothing", "{}", 0, ""},
    {"nothing but metadata", META("{}"), 0, ""},
    {"the rows' own good tensor", AB(GOOD), 8, "ab "},
    {"white space everywhere",
     "{ 'ab'\t:\r\n{ 'dtype' : 'F32' , 'shape' : [ 2 ] , 'data_offsets' : [ 0 , 8 ] } } \t\r\n", 8,
     "ab "},
    {"fields in another order", AB("'data_offsets':[0,8],'shape':[2],'dtype':'F32'"), 8, "ab "},
    {"data in another order than the header", TWO("[4,8]", "[0,4]"), 8, "b a "},
    {"metadata last", "{'ab':{" GOOD "},'__metadata__':{'k':'v'}}", 8, "ab "},
    {"scalar", AB("'dtype':'F32','shape':[],'data_offsets':[0,4]"), 4, "ab "},
    {"rank 8", SHAPE("[1,1,1,1,1,1,1,2]"), 8, "ab "},
    {"empty tensor", AB("'dtype':'F32','shape':[3,0],'data_offsets':[0,0]"), 0, "ab "},
    {"empty, huge otherwise",
     AB("'dtype':'F32','shape':[0,9223372036854775807],"
        "'data_offsets':[0,0]"),
     0, "ab "},
    {"empty before full at one place",
     "{'a':{" GOOD "},'b':{'dtype':'F32','shape':[0],'data_offsets':[0,0]}}", 8, "b a "},
    {"name of 255 bytes", NAMED(X255), 8, X255 " "},
    {"escapes in the name", NAMED("\\u00e4\\ud83d\\ude00\\u20AC\\\\\\/\\b"), 8,
     "\xC3\xA4\xF0\x9F\x98\x80\xE2\x82\xAC\\/\b "},
    {"escapes beside the surrogates", NAMED("\\ud7ff\\ue000"), 8, "\xED\x9F\xBF\xEE\x80\x80 "},
    {"UTF-8 at its bounds", NAMED("\xF4\x8F\xBF\xBF\xED\x9F\xBF\xE0\xA0\x80\xF0\x90\x80\x80"), 8,
     "\xF4\x8F\xBF\xBF\xED\x9F\xBF\xE0\xA0\x80\xF0\x90\x80\x80 "},
    {"name like a field", NAMED("dtype"), 8, "dtype "},
    {"F16", AB("'dtype':'F16','shape':[4],'data_offsets':[0,8]"), 8, "ab "},
    {"BF16", AB("'dtype':'BF16','shape':[4],'data_offsets':[0,8]"), 8, "ab "},
    {"F64", AB("'dtype':'F64','shape':[1],'data_offsets':[0,8]"), 8, "ab "},
    {"I64", AB("'dtype':'I64','shape':[1],'data_offsets':[0,8]"), 8, "ab "},
    {"other dtypes", AB("'dtype':'BOOL','shape':[8],'data_offsets':[0,8]"), 8, "ab "},
    {"packed dtypes", AB("'dtype':'F6_E2M3','shape':[4],'data_offsets':[0,3]"), 3, "ab "},
    {"unknown dtypes of any size", AB("'dtype':'F33','shape':[1],'data_offsets':[0,8]"), 8, "ab "},
    {"empty dtype", AB("'dtype':'','shape':[1],'data_offsets':[0,8]"), 8, "ab "},
    {"long dtype", AB("'dtype':'" X255 "','shape':[1],'data_offsets':[0,8]"), 8, "ab "},
};

START_TEST(accepts)
{
    const good_row *row = &goods[_i];
    size_t size;
    unsigned char *bytes = frame_of(row->header, strlen(row->header), row->data_size, &size);
    jemi_safetensors file;
    const jem_status status = jemi_safetensors_parse(bytes, size, &file);
    ck_assert_msg(status == JEM_OK, "%s: %s", row->name, jemi_last_message());
    char names[512] = "";
    for (size_t i = 0; i < file.n_tensors; i++) {
        strcat(strcat(names, file.tensors[i].name), " ");
        ck_assert_ptr_eq(jemi_safetensors_find(&file, file.tensors[i].name), &file.tensors[i]);
    }
    ck_assert_msg(strcmp(names, row->tensors) == 0, "%s: '%s'", row->name, names);
    jemi_safetensors_fini(&file);

    // Cut anywhere, or longer by a byte, it is another file.
    for (size_t cut = 0; cut < size; cut++)
        ck_assert_msg(parse(bytes, cut, &file) == JEM_EFORMAT, "%s cut to %zu", row->name, cut);
    bytes = realloc(bytes, size + 1);
    bytes[size] = 0;
    ck_assert_int_eq(parse(bytes, size + 1, &file), JEM_EFORMAT);
    free(bytes);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors_attacks");
    TCase *tests = tcase_create("attacks");
    tcase_add_loop_test(tests, refuses_frame, 0, COUNT(frames));
    tcase_add_loop_test(tests, refuses_header, 0, COUNT(headers));
    tcase_add_loop_test(tests, accepts, 0, COUNT(goods));
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int n_failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return n_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
