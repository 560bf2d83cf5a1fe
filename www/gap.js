// A gap on the page: what is known about the missing entries.

/** What happened, as text and ids: in one sentence, and where it goes on in another. */
function parts({ after, first, reason }) {
  if (reason === "rolled_back") {
    const lost = ["Redis lost entries up to ", id(after), ", as in a failover."];
    return [...lost, first ? " The next entry is " : " The stream goes on from what is left.", ...(first ? [id(first), "."] : [])];
  }
  if (reason === "recreated") {
    const was = ["The stream was deleted or recreated: it is not the one read up to ", id(after), "."];
    return first ? [...was, " All entries of the new one follow, from ", id(first), "."] : [...was, " The new one is empty so far."];
  }
  const were = ["Entries after ", id(after), " were trimmed, or may have been."];
  return first ? [...were, " The next entry is ", id(first), "."] : [...were, " There is no entry after them yet."];
}

/** The same for a reader, in words alone. */
export function inWords(gap) {
  return parts(gap)
    .map((part) => part.textContent ?? part)
    .join("");
}

/** A row of the list, in the place of the missing entries. */
export function gapRow(gap) {
  const row = document.createElement("li");
  row.className = "gap";
  row.dataset.testid = "gap";
  row.dataset.reason = gap.reason;
  const label = document.createElement("strong");
  label.textContent = "Gap";
  const what = document.createElement("span");
  what.append(...parts(gap));
  row.append(label, " ", what);
  return row;
}

function id(text) {
  const span = document.createElement("span");
  span.className = "mono num";
  span.textContent = text;
  return span;
}
