// How an entry looks, and the order of ids.

/** Names and values longer than this are cut on screen: a value may be 1 MiB. */
const TEXT_CHARS = 160;
/** Fields shown of one entry: it may have a thousand. */
const FIELDS_SHOWN = 12;

/** Returns an element with the fields of `entry` in order, repeated names included. */
export function fieldsOf(entry) {
  const holder = document.createElement("span");
  holder.className = "entry-fields";
  for (const [name, value] of entry.fields.slice(0, FIELDS_SHOWN)) {
    const field = document.createElement("span");
    field.className = "entry-field";
    field.append(text("entry-name", name), " ", text("entry-value", value));
    holder.append(field, " ");
  }
  const more = entry.fields.length - FIELDS_SHOWN;
  if (more > 0) holder.append(text("muted", `and ${more} more`));
  return holder;
}

/** Returns an element with the id of `entry`. */
export function idOf(entry) {
  return text("entry-id num", entry.id);
}

/** The later of two ids. */
export function laterId(a, b) {
  const [aMs, aSeq] = parts(a);
  const [bMs, bSeq] = parts(b);
  return bMs > aMs || (bMs === aMs && bSeq > aSeq) ? b : a;
}

function parts(id) {
  const [ms, seq = "0"] = id.split("-");
  return [BigInt(ms), BigInt(seq)];
}

function text(className, content) {
  const span = document.createElement("span");
  span.className = className;
  span.textContent = content.length > TEXT_CHARS ? `${content.slice(0, TEXT_CHARS)}…` : content;
  return span;
}
