/** The socket at which an upgrade is asked for: what it takes, and what it does not. */
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Test, test } from 'tap'
import { UpgradeDoor } from '../../../../../src/proxy/primary/upgrade/door.ts'
import type { Command } from '../../../../../src/proxy/primary/upgrade/successor.ts'
import { LogLines } from '../../../../support/log-lines.ts'
import { readUntil } from '../../../../support/running-amt.ts'

interface Lab {
  readonly path: string
  readonly asked: Command[]
  /** Sends this, and gives what comes back until the end. */
  readonly say: (text: string) => Promise<string>
  readonly door: UpgradeDoor
  readonly log: LogLines
}

async function lab(t: Test, requestTimeoutMs?: number): Promise<Lab> {
  const folder = mkdtempSync(join(tmpdir(), 'amt-door-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  const path = join(folder, 'upgrade.sock')
  const asked: Command[] = []
  const log = new LogLines()
  // Of a process that was killed.
  writeFileSync(path, '')
  const door = new UpgradeDoor({
    folder,
    logger: log.logger,
    ...(requestTimeoutMs === undefined ? {} : { requestTimeoutMs }),
    upgrade: async command => {
      asked.push(command)
      return { ok: true, pid: 42 }
    },
  })
  const mask = process.umask(0)
  door.open()
  process.umask(mask)
  t.equal(statSync(path).mode & 0o777, 0o600, 'for this user alone, from the first moment')
  t.teardown(() => door.close())
  await readUntil(
    async () => statSync(path, { throwIfNoEntry: false })?.isSocket() === true,
    there => there,
  )
  const say = async (text: string): Promise<string> => {
    const { promise, resolve } = Promise.withResolvers<string>()
    const socket = connect(path)
    let answer = ''
    socket.on('data', chunk => {
      answer += chunk.toString()
    })
    socket.on('error', () => {})
    socket.on('close', () => resolve(answer))
    socket.write(text)
    return promise
  }
  return { path, asked, say, door, log }
}

/** Also by an error. */
async function closed(socket: Socket): Promise<void> {
  await new Promise<void>(resolve => socket.once('close', () => resolve()))
}

const COMMAND = { program: '/usr/bin/amt', args: ['proxy'] }

await test('a request is passed on, and answered', async t => {
  const { path, asked, say } = await lab(t)
  t.same(JSON.parse(await say(`${JSON.stringify(COMMAND)}\n`)), { ok: true, pid: 42 })
  t.same(asked, [COMMAND])
  t.equal(statSync(path).mode & 0o777, 0o600, 'for this user alone')
})

await test('whatever is no request is refused, and runs nothing', async t => {
  const { asked, say } = await lab(t)
  for (const text of [
    'GET / HTTP/1.1\r\n',
    '{}\n',
    'null\n',
    `${JSON.stringify({ ...COMMAND, env: {} })}\n`,
    `${JSON.stringify({ ...COMMAND, args: 'proxy' })}\n`,
    `${JSON.stringify({ ...COMMAND, program: '' })}\n`,
  ])
    t.match(JSON.parse(await say(text)), {
      ok: false,
      problems: ['this is no request for an upgrade'],
    })
  t.same(asked, [])
})

await test('a request without an end is cut', async t => {
  const { asked, say } = await lab(t)
  t.equal(await say('x'.repeat(70_000)), '')
  t.same(asked, [])
})

await test('nobody comes in after the end, and the file is gone', async t => {
  const { path, say, door } = await lab(t)
  door.close()
  t.equal(statSync(path, { throwIfNoEntry: false }), undefined)
  t.equal(await say('{}\n'), '')
})

await test('who says its request byte by byte has no longer than others', async t => {
  const { path, asked } = await lab(t, 300)
  const socket = connect(path)
  socket.on('error', () => {})
  const timer = setInterval(() => socket.write(' '), 20)
  await closed(socket)
  clearInterval(timer)
  t.same(asked, [])
})

await test('who keeps its side open after the answer keeps nothing of the proxy', async t => {
  const { path } = await lab(t)
  const socket = connect({ path, allowHalfOpen: true })
  socket.on('error', () => {})
  socket.resume()
  socket.write(`${JSON.stringify(COMMAND)}\n`)
  await new Promise<void>(resolve => socket.once('end', resolve))
  // Only a write says that nobody is there any more.
  const timer = setInterval(() => socket.write(' '), 20)
  await closed(socket)
  clearInterval(timer)
  t.pass('it is closed')
})
