import { Duplex } from 'node:stream'
import { test } from 'tap'
import { Outbox, OWN_MEMORY, type Sender } from '../../../../src/proxy/wire/outbox.ts'
import { TurnWrites } from '../../../../src/proxy/wire/turn-writes.ts'

const LARGE = 8 * 1024 + 1

/** A socket that keeps each write, and takes no more than `highWaterMark` bytes at once until it is released. */
class Sink extends Duplex {
  readonly writes: Buffer[][] = []
  held = false
  onWrite: () => void = () => {}
  #release: (() => void) | undefined

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.#take([chunk], done)
  }

  override _writev(chunks: { chunk: Buffer }[], done: () => void): void {
    this.#take(
      chunks.map(({ chunk }) => chunk),
      done,
    )
  }

  #take(chunks: Buffer[], done: () => void): void {
    this.writes.push(chunks)
    this.onWrite()
    if (this.held) this.#release = done
    else done()
  }

  release(): void {
    this.held = false
    this.#release?.()
  }

  get text(): string {
    return Buffer.concat(this.writes.flat()).toString('latin1')
  }
}

function attached(sink: Sink, sender: Partial<Sender> = {}, turn = new TurnWrites()): Outbox {
  const outbox = new Outbox(turn, sink, {
    heldUp: () => {},
    drained: () => {},
    ...sender,
  })
  outbox.attach(undefined)
  return outbox
}

async function endOfTurn(): Promise<void> {
  await new Promise(resolve => setImmediate(resolve))
}

await test('what a turn has to send leaves in one write', async t => {
  const sink = new Sink()
  const outbox = attached(sink)
  outbox.text('head\xe4\r\n')
  outbox.bytes(Buffer.from('..body\xff..', 'latin1'), 2, 7)
  outbox.text('end')
  t.equal(sink.writes.length, 0, 'nothing before it is flushed')
  t.equal(outbox.unsent, 15)
  t.ok(outbox.flush())
  outbox.text('.')
  t.ok(outbox.flush())
  t.equal(sink.writes.length, 0, 'nothing before the turn is over')
  await endOfTurn()
  t.equal(sink.writes.length, 1)
  t.equal(sink.text, 'head\xe4\r\nbody\xffend.', 'one character a byte')
  t.equal(outbox.total, 16)
  await endOfTurn()
  t.equal(outbox.unsent, 0)
  t.ok(outbox.flush())
  await endOfTurn()
  t.equal(sink.writes.length, 1, 'nothing is written of nothing')
  outbox.text('next')
  outbox.flush()
  await endOfTurn()
  t.equal(sink.writes.length, 2, 'the next turn has its own')
})

await test('large pieces keep their order among text, in one write too', async t => {
  const sink = new Sink({ highWaterMark: 1e6 })
  const outbox = attached(sink)
  const large = Buffer.alloc(LARGE, 'b')
  outbox.text('a')
  outbox.bytes(large, 0, LARGE)
  outbox.text('c')
  outbox.bytes(large, 0, LARGE, OWN_MEMORY)
  t.equal(outbox.total, 2 * LARGE + 2)
  t.equal(outbox.unsent, 2 * LARGE + 2)
  outbox.flush()
  t.equal(sink.writes.length, 1, 'what is large does not wait for the end of the turn')
  t.equal(sink.text, `a${'b'.repeat(LARGE)}c${'b'.repeat(LARGE)}`)
})

await test('copies a large piece whose buffer is used again', async t => {
  const sink = new Sink({ highWaterMark: 1e6 })
  sink.held = true
  const outbox = attached(sink)
  const buffer = Buffer.alloc(LARGE, 'a')
  outbox.bytes(buffer, 0, LARGE)
  buffer.fill('b')
  outbox.bytes(buffer, 0, 3)
  buffer.fill('c')
  outbox.flush()
  sink.release()
  t.equal(sink.text, `${'a'.repeat(LARGE)}bbb`)
})

await test('what is due leaves before its socket is cut, and never after it', async t => {
  const sink = new Sink()
  const outbox = attached(sink)
  outbox.text('last words')
  outbox.flush()
  outbox.cut()
  t.equal(sink.text, 'last words')
  t.ok(sink.destroyed)
  const gone = new Sink()
  const late = attached(gone)
  gone.destroy()
  late.text('too late')
  late.flush()
  late.cut()
  await endOfTurn()
  t.equal(gone.text, '')
})

await test('says when the socket has enough, and what has not left', async t => {
  const sink = new Sink({ highWaterMark: 10 })
  sink.held = true
  const drained = Promise.withResolvers<void>()
  const outbox = attached(sink, { drained: drained.resolve })
  outbox.text('123456')
  t.ok(outbox.flush())
  await endOfTurn()
  outbox.text('789012')
  t.notOk(outbox.flush(), 'a write is under way, and what waits behind it is enough')
  t.equal(outbox.unsent, 12)
  t.equal(outbox.total, 12)
  sink.release()
  await drained.promise
  await endOfTurn()
  t.equal(outbox.unsent, 0)
  t.equal(sink.text, '123456789012')
})

await test('says at the end of the turn that what it took is enough', async t => {
  const sink = new Sink({ highWaterMark: 4 })
  sink.held = true
  const drained = Promise.withResolvers<void>()
  let heldUp = 0
  const outbox = attached(sink, { heldUp: () => heldUp++, drained: drained.resolve })
  outbox.text('123456')
  t.ok(outbox.flush())
  t.equal(heldUp, 0)
  await endOfTurn()
  t.equal(heldUp, 1)
  t.ok(outbox.blocked)
  t.notOk(outbox.flush())
  sink.release()
  await drained.promise
  t.notOk(outbox.blocked)
  t.ok(outbox.flush())
})

await test('holds no more text back than some', t => {
  const sink = new Sink({ highWaterMark: 1e6 })
  const outbox = attached(sink)
  outbox.text('a'.repeat(16 * 1024 + 1))
  outbox.flush()
  t.equal(sink.writes.length, 1)
  t.end()
})

await test('ends the socket behind all that waits', async t => {
  const sink = new Sink({ highWaterMark: 10 })
  sink.held = true
  const outbox = attached(sink)
  outbox.text('one')
  outbox.flush()
  await endOfTurn()
  outbox.text('two')
  const ended = new Promise<void>(resolve => outbox.end(resolve))
  t.notOk(sink.writableEnded, 'not before what was put in')
  sink.release()
  await ended
  t.equal(sink.text, 'onetwo')
})

await test('gives lent memory back when it has left, and copies what cannot be lent', async t => {
  const sink = new Sink({ highWaterMark: 1e6 })
  sink.held = true
  const given = Promise.withResolvers<void>()
  let lent = 0
  const lender = {
    lend: (): boolean => ++lent > 0,
    returned: given.resolve,
  }
  const outbox = attached(sink)
  const buffer = Buffer.alloc(LARGE, 'a')
  outbox.bytes(buffer, 0, LARGE, lender)
  outbox.flush()
  t.equal(sink.writes[0]?.[0]?.buffer, buffer.buffer, 'no copy')
  outbox.bytes(buffer, 0, LARGE, lender)
  t.equal(lent, 1, 'a write is under way: the second piece is copied')
  buffer.fill('b')
  sink.release()
  await given.promise
  await endOfTurn()
  t.equal(sink.text, 'b'.repeat(LARGE) + 'a'.repeat(LARGE))
})

/** Notes what a socket is given, and when something went on record before. */
function recorded(): { sink: Sink; outbox: Outbox; order: () => string } {
  const order: string[] = []
  const sink = new Sink({ highWaterMark: 1e6 })
  sink.onWrite = () => order.push('write')
  sink.on('finish', () => order.push('end'))
  sink.on('close', () => order.push('close'))
  const outbox = attached(sink, {}, new TurnWrites({ commit: () => order.push('commit') }))
  return { sink, outbox, order: () => order.join(' ') }
}

await test('nothing leaves before what must be on record: at the end of the turn', async t => {
  const { outbox, order } = recorded()
  outbox.text('small')
  outbox.flush()
  await endOfTurn()
  t.match(order(), /^commit (commit )*write$/)
})

await test('nothing leaves before what must be on record: at once', t => {
  const { outbox, order } = recorded()
  outbox.bytes(Buffer.alloc(LARGE), 0, LARGE)
  outbox.flush()
  t.equal(order(), 'commit write')
  t.end()
})

await test('nothing leaves before what must be on record: behind a write that was under way', async t => {
  const { sink, outbox, order } = recorded()
  sink.held = true
  outbox.bytes(Buffer.alloc(LARGE), 0, LARGE)
  outbox.flush()
  outbox.text('more')
  outbox.flush()
  sink.release()
  await endOfTurn()
  t.equal(order(), 'commit write commit write')
})

for (const text of ['', 'last words'])
  await test(`nothing leaves before what must be on record: an end behind "${text}"`, async t => {
    const { outbox, order } = recorded()
    outbox.text(text)
    outbox.end()
    await endOfTurn()
    t.equal(order(), text === '' ? 'commit end' : 'commit write end')
  })

for (const text of ['', 'last words'])
  await test(`nothing leaves before what must be on record: a cut behind "${text}"`, async t => {
    const { outbox, order } = recorded()
    outbox.text(text)
    outbox.cut()
    await endOfTurn()
    t.equal(order(), text === '' ? 'commit close' : 'commit write close')
  })
