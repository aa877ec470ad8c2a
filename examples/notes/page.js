// The page at `/`: all notes and a form for a new one, without a script.

/** Text that stands for itself inside HTML. */
function escape(text) {
  const named = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' }
  return text.replace(/[&<>"']/g, char => named[char])
}

export function renderPage({ count, notes }) {
  const items = notes.map(
    note => `<li><time>${escape(note.created)}</time><p>${escape(note.text)}</p></li>`,
  )
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Notes</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 40rem; margin: 2rem auto; padding: 0 1rem }
  form { display: flex; gap: .5rem }
  input { flex: 1; font: inherit }
  button { font: inherit }
  li { margin: 1rem 0 }
  li p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere }
  time { color: #666; font-size: .8rem }
</style>
<h1>Notes</h1>
<form method="post" action="/notes">
  <input name="text" required maxlength="10000" aria-label="A new note" autofocus>
  <button>Add</button>
</form>
<p>${count === 0 ? 'No notes yet.' : `${count} ${count === 1 ? 'note' : 'notes'}, newest first.`}</p>
<ul>
${items.join('\n')}
</ul>
</html>
`
}
