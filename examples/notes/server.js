// A small notes service for one group of people. It knows nothing of tenants, users or tokens: whoever reaches it may use it.
// Settings by environment: HOST (127.0.0.1), PORT (9101), DATA_DIR (notes-data).
import { randomUUID } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:http'
import { join } from 'node:path'
import { renderPage } from './page.js'

const MAX_BODY_BYTES = 64 * 1024
const MAX_NOTES = 10_000
const LISTED_NOTES = 100
const ID = /^[0-9]{13}-[0-9a-f-]{36}$/ // also what keeps a path in a URL from leaving the folder

const host = process.env.HOST ?? '127.0.0.1'
const port = Number(process.env.PORT ?? 9101)
const folder = process.env.DATA_DIR ?? 'notes-data'

class Refusal extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

async function noteIds() {
  const names = await readdir(folder)
  const ids = names
    .filter(name => name.endsWith('.json'))
    .map(name => name.slice(0, -'.json'.length))
  return ids
    .filter(id => ID.test(id))
    .toSorted()
    .toReversed()
}

function fileOf(id) {
  if (!ID.test(id)) throw new Refusal(404, 'there is no such note')
  return join(folder, `${id}.json`)
}

async function readNote(id) {
  try {
    return JSON.parse(await readFile(fileOf(id), 'utf8'))
  } catch (error) {
    if (error.code === 'ENOENT') throw new Refusal(404, 'there is no such note')
    throw error
  }
}

async function listNotes() {
  const ids = await noteIds()
  const notes = await Promise.allSettled(ids.slice(0, LISTED_NOTES).map(readNote)) // one may be deleted meanwhile
  return {
    count: ids.length,
    notes: notes.filter(note => note.status === 'fulfilled').map(note => note.value),
  }
}

async function createNote(text) {
  if ((await noteIds()).length >= MAX_NOTES)
    throw new Refusal(507, `there are ${MAX_NOTES} notes already`)
  const now = new Date()
  const note = {
    id: `${String(now.getTime()).padStart(13, '0')}-${randomUUID()}`,
    text,
    created: now.toISOString(),
  }
  const draft = join(folder, `${note.id}.draft`)
  await writeFile(draft, JSON.stringify(note))
  await rename(draft, fileOf(note.id)) // a reader sees all of a note or nothing
  return note
}

async function deleteNote(id) {
  await rm(fileOf(id)).catch(error => {
    throw error.code === 'ENOENT' ? new Refusal(404, 'there is no such note') : error
  })
}

async function readBody(request) {
  const chunks = []
  let size = 0
  for await (const chunk of request) {
    size += chunk.length
    if (size > MAX_BODY_BYTES) throw new Refusal(413, `a note may have ${MAX_BODY_BYTES} bytes`)
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

async function readText(request) {
  const type = (request.headers['content-type'] ?? 'text/plain').split(';')[0].trim().toLowerCase()
  const body = await readBody(request)
  let text
  if (type === 'application/json') {
    try {
      text = JSON.parse(body)?.text
    } catch {
      throw new Refusal(400, 'the body is not JSON')
    }
  } else if (type === 'application/x-www-form-urlencoded') {
    text = new URLSearchParams(body).get('text')
  } else if (type === 'text/plain') {
    text = body
  } else {
    throw new Refusal(415, 'a note is text/plain, a form or JSON')
  }
  if (typeof text !== 'string' || text.trim() === '') throw new Refusal(400, 'a note needs a text')
  return text
}

function send(response, status, value, fields = {}) {
  const body = `${JSON.stringify(value)}\n`
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(body),
    ...fields,
  })
  response.end(body)
}

function sendPage(response, page) {
  response.writeHead(200, {
    'content-type': 'text/html; charset=utf-8',
    'content-length': Buffer.byteLength(page),
    'content-security-policy': "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'",
  })
  response.end(page)
}

async function serveNotes(request, response) {
  if (request.method === 'GET' || request.method === 'HEAD')
    return send(response, 200, await listNotes())
  if (request.method !== 'POST') throw new Refusal(405, 'GET lists notes, POST makes one')
  const note = await createNote(await readText(request))
  if ((request.headers.accept ?? '').includes('text/html')) {
    return send(response, 303, note, { location: '/' }) // a browser's form: back to the page
  }
  send(response, 201, note, { location: `/notes/${note.id}` })
}

async function serveNote(request, response, id) {
  if (request.method === 'GET' || request.method === 'HEAD')
    return send(response, 200, await readNote(id))
  if (request.method !== 'DELETE') throw new Refusal(405, 'GET reads a note, DELETE deletes it')
  await deleteNote(id)
  response.writeHead(204).end()
}

async function serve(request, response) {
  const path = request.url.split('?')[0]
  if (path === '/notes') return serveNotes(request, response)
  if (path.startsWith('/notes/')) return serveNote(request, response, path.slice('/notes/'.length))
  if (request.method !== 'GET' && request.method !== 'HEAD')
    throw new Refusal(405, 'this is only read')
  if (path === '/healthz') return send(response, 200, { status: 'ok' })
  if (path === '/') return sendPage(response, renderPage(await listNotes()))
  throw new Refusal(404, 'there is nothing here')
}

const server = createServer((request, response) => {
  serve(request, response).catch(error => {
    if (response.headersSent || response.destroyed) return response.destroy()
    if (!(error instanceof Refusal)) console.error(error)
    const status = error instanceof Refusal ? error.status : 500
    // A body that was not read to its end would be taken for the next request.
    const fields = request.complete ? {} : { connection: 'close' }
    send(
      response,
      status,
      { error: error instanceof Refusal ? error.message : 'something failed' },
      fields,
    )
  })
})
server.requestTimeout = 30_000

function stop() {
  server.close() // answers what has begun, and ends idle connections
}
process.once('SIGTERM', stop)
process.once('SIGINT', stop)

server.on('error', error => {
  console.error(`notes: cannot listen on ${host}:${port}: ${error.message}`)
  process.exitCode = 1
})
await mkdir(folder, { recursive: true })
server.listen(port, host, () => {
  console.log(`notes: listening on ${host}:${server.address().port}, notes in ${folder}`)
})
