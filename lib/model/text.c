/*
 * Class names and metadata, under the model's text lock: a thread may read them while another sets.
 */
#include <string.h>

#include "base/memory.h"
#include "base/text.h"
#include "model/model.h"

static void copy_out(const char *text, char *buffer, size_t size, size_t *length)
{
    *length = strlen(text);
    if (size > *length)
        memcpy(buffer, text, *length + 1);
}

jem_status jemi_model_set_class_name(jem_model *model, int32_t label, const char *name)
{
    char *copy = jemi_strdup(name);
    if (copy == NULL)
        return jemi_fail_memory("class name");
    jemi_lock_enter(model->text_lock);
    char *previous = model->class_names[label];
    model->class_names[label] = copy;
    jemi_lock_leave(model->text_lock);
    jemi_free(previous);
    return JEM_OK;
}

void jemi_model_copy_class_name(const jem_model *model, int32_t label, char *buffer, size_t size,
                                size_t *length)
{
    char number[16];
    jemi_format(number, sizeof number, "%d", (int)label);
    jemi_lock_enter(model->text_lock);
    const char *name = model->class_names[label];
    copy_out(name != NULL ? name : number, buffer, size, length);
    jemi_lock_leave(model->text_lock);
}

jem_status jemi_model_set_metadata(jem_model *model, const char *key, const char *value)
{
    jemi_lock_enter(model->text_lock);
    const jem_status status = jemi_strings_set(&model->metadata, key, value);
    jemi_lock_leave(model->text_lock);
    return status;
}

bool jemi_model_copy_metadata(const jem_model *model, const char *key, char *buffer, size_t size,
                              size_t *length)
{
    jemi_lock_enter(model->text_lock);
    const char *value = jemi_strings_get(&model->metadata, key);
    if (value != NULL)
        copy_out(value, buffer, size, length);
    jemi_lock_leave(model->text_lock);
    return value != NULL;
}

bool jemi_model_copy_metadata_key(const jem_model *model, const char *after, char *buffer,
                                  size_t size, size_t *length)
{
    jemi_lock_enter(model->text_lock);
    const jemi_string_entry *entry = jemi_strings_after(&model->metadata, after);
    if (entry != NULL)
        copy_out(entry->key, buffer, size, length);
    jemi_lock_leave(model->text_lock);
    return entry != NULL;
}
