import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type Test, test } from 'tap'

const PROGRAM = join(import.meta.dirname, '..', '..', 'examples', 'notes', 'server.js')

interface Notes {
  readonly url: string
  /** Ends it by SIGTERM and gives its exit code. */
  readonly stop: () => Promise<number | null>
}

async function startNotes(t: Test, folder: string): Promise<Notes> {
  const env = { ...process.env, PORT: '0', DATA_DIR: folder }
  const notes = spawn(process.execPath, [PROGRAM], { env, stdio: ['ignore', 'pipe', 'inherit'] })
  t.teardown(() => notes.kill('SIGKILL'))
  const [line]: string[] = await once(createInterface(notes.stdout), 'line')
  const url = `http://${/listening on (\S+),/.exec(line ?? '')?.[1]}`
  const stop = async (): Promise<number | null> => {
    const ended = once(notes, 'exit')
    notes.kill('SIGTERM')
    const [code]: (number | null)[] = await ended
    return code ?? null
  }
  return { url, stop }
}

interface Note {
  readonly id: string
  readonly text: string
}
interface NoteList {
  readonly count: number
  readonly notes: Note[]
}

async function json<T>(response: Response): Promise<T> {
  return response.json() as Promise<T>
}

await test('a note is made from text, JSON or a form, listed, read and deleted', async t => {
  const { url } = await startNotes(t, t.testdir())
  const bodies: [string, string][] = [
    ['text/plain', 'one'],
    ['application/json', '{"text":"two"}'],
    ['application/x-www-form-urlencoded', 'text=three+%26+more'],
  ]
  const made: Note[] = []
  for (const [type, body] of bodies) {
    const response = await fetch(`${url}/notes`, {
      method: 'POST',
      body,
      headers: { 'content-type': type },
    })
    t.equal(response.status, 201, type)
    made.push(await json<Note>(response))
    t.equal(response.headers.get('location'), `/notes/${made.at(-1)?.id}`)
  }
  t.same(
    made.map(note => note.text),
    ['one', 'two', 'three & more'],
  )
  const list = await json<NoteList>(await fetch(`${url}/notes`))
  t.equal(list.count, 3)
  t.same(new Set(list.notes.map(note => note.id)), new Set(made.map(note => note.id)))
  const one = `${url}/notes/${made[0]?.id}`
  t.same(await json<Note>(await fetch(one)), made[0])
  t.equal((await fetch(one, { method: 'DELETE' })).status, 204)
  t.equal((await fetch(one)).status, 404)
  t.equal((await fetch(one, { method: 'DELETE' })).status, 404)
})

await test('wrong requests are refused with a sentence', async t => {
  const { url } = await startNotes(t, t.testdir())
  const post = (body: string, type = 'application/json'): RequestInit => ({
    method: 'POST',
    body,
    headers: { 'content-type': type },
  })
  const cases: [string, RequestInit, number][] = [
    ['/notes', post('{'), 400],
    ['/notes', post('{"text":1}'), 400],
    ['/notes', post('null'), 400],
    ['/notes', post('  ', 'text/plain'), 400],
    ['/notes', post('<a/>', 'application/xml'), 415],
    ['/notes', post('x'.repeat(64 * 1024 + 1), 'text/plain'), 413],
    ['/notes', { method: 'PUT' }, 405],
    ['/notes/1', {}, 404],
    ['/notes/..%2f..%2fetc%2fpasswd', {}, 404],
    ['/else', {}, 404],
    ['/healthz', { method: 'POST' }, 405],
  ]
  for (const [path, request, status] of cases) {
    const response = await fetch(url + path, request)
    t.equal(response.status, status, `${request.method ?? 'GET'} ${path}`)
    t.type((await json<{ error: string }>(response)).error, 'string')
  }
  t.equal((await fetch(`${url}/healthz`)).status, 200, 'and it lives on')
})

await test('the page shows notes as text, and its form comes back to it', async t => {
  const { url } = await startNotes(t, t.testdir())
  const response = await fetch(`${url}/notes`, {
    method: 'POST',
    body: new URLSearchParams({ text: '<script>alert(1)</script>' }),
    headers: { accept: 'text/html' },
    redirect: 'manual',
  })
  t.equal(response.status, 303)
  t.equal(response.headers.get('location'), '/')
  const page = await (await fetch(`${url}/`)).text()
  t.match(page, '&lt;script&gt;alert(1)&lt;/script&gt;')
  t.notMatch(page, '<script>')
  t.match(page, '<form method="post" action="/notes">')
})

await test('notes outlive a restart, half-written ones and foreign files do not show', async t => {
  const folder = join(t.testdir(), 'data')
  const first = await startNotes(t, folder)
  await fetch(`${first.url}/notes`, { method: 'POST', body: 'kept' })
  t.equal(await first.stop(), 0)
  t.equal((await readdir(folder)).length, 1)
  await writeFile(join(folder, '1-half.draft'), '{"te')
  await writeFile(join(folder, 'README.json'), 'not a note')
  await mkdir(join(folder, 'folder'))
  const second = await startNotes(t, folder)
  const list = await json<NoteList>(await fetch(`${second.url}/notes`))
  t.same([list.count, list.notes.map(note => note.text)], [1, ['kept']])
})
