/** How the sockets of a worker share the memory that they read into. */
import { once } from 'node:events'
import { duplexPair } from 'node:stream'
import { test } from 'tap'
import { Inbox } from '../../../../src/proxy/wire/inbox.ts'
import { LongReads } from '../../../../src/proxy/wire/long-reads.ts'
import { ReadBuffers } from '../../../../src/proxy/wire/read-buffers.ts'
import { type HandleReader, SocketHandle } from '../../../../src/runtime/socket-handle.ts'
import { socketPair } from '../../../support/socket-pair.ts'

/** Calls `look` for each arrival until it returns true. */
function readsUntil(look: (bytes: Buffer, length: number) => boolean): {
  receive: (bytes: Buffer, length: number) => boolean
  done: Promise<void>
} {
  const done = Promise.withResolvers<void>()
  const receive = (bytes: Buffer, length: number): boolean => {
    if (look(bytes, length)) done.resolve()
    return true
  }
  return { receive, done: done.promise }
}

await test('small reads go into the shared buffer, which cannot be lent', async t => {
  const { near, far } = await socketPair(t)
  const buffers = new ReadBuffers(new LongReads(() => 0))
  const seen: Buffer[] = []
  const { receive, done } = readsUntil(bytes => seen.push(bytes) > 0)
  const inbox = new Inbox(buffers, { received: receive })
  inbox.attach(near, SocketHandle.of(near))
  far.write('small')
  await done
  t.equal(seen[0], buffers.shared)
  t.notOk(inbox.lend())
})

await test('who fills the shared buffer reads on into one of its own, until it is sated', async t => {
  const { near, far } = await socketPair(t)
  const buffers = new ReadBuffers(new LongReads(() => 0))
  let own: Buffer | undefined
  const grown = readsUntil(bytes => {
    if (bytes !== buffers.shared) own = bytes
    return own !== undefined
  })
  const inbox = new Inbox(buffers, { received: grown.receive })
  inbox.attach(near, SocketHandle.of(near))
  far.write(Buffer.alloc(4 * 1024 * 1024))
  await grown.done
  t.ok(inbox.lend(), 'its memory is nobody else’s')
  inbox.returned()
  inbox.close()
  t.equal(buffers.take(), own, 'it goes back with the connection')
})

await test('a connection that is held to a bandwidth keeps to small reads', async t => {
  const { near, far } = await socketPair(t)
  const buffers = new ReadBuffers(new LongReads(() => 0))
  const total = 1024 * 1024
  let read = 0
  let largest = 0
  const all = readsUntil((bytes, length) => {
    read += length
    largest = Math.max(largest, bytes.length)
    return read === total
  })
  const inbox = new Inbox(buffers, { received: all.receive })
  inbox.staySmall()
  inbox.attach(near, SocketHandle.of(near))
  far.write(Buffer.alloc(total))
  await all.done
  t.equal(largest, buffers.shared.length)
})

await test('nothing is read over memory that is lent, whoever resumes', async t => {
  const { near, far } = await socketPair(t)
  const buffers = new ReadBuffers(new LongReads(() => 0))
  let reads = 0
  let released = false
  const lent = Promise.withResolvers<void>()
  const more = Promise.withResolvers<void>()
  const inbox: Inbox = new Inbox(buffers, {
    received: bytes => {
      reads++
      if (released) more.resolve()
      else if (bytes !== buffers.shared && inbox.lend()) lent.resolve()
      return true
    },
  })
  inbox.attach(near, SocketHandle.of(near))
  far.write(Buffer.alloc(8 * 1024 * 1024))
  await lent.promise
  const before = reads
  inbox.resume()
  for (let turn = 0; turn < 20; turn++) await new Promise(resolve => setImmediate(resolve))
  t.equal(reads, before)
  released = true
  inbox.returned()
  await more.promise
  t.ok(reads > before)
})

await test('what the stream had read ahead comes first', async t => {
  const { near, far } = await socketPair(t)
  near.pause()
  far.write('early')
  await once(near, 'readable')
  let text = ''
  const all = readsUntil((bytes, length) => {
    text += bytes.toString('latin1', 0, length)
    return text === 'earlylate'
  })
  new Inbox(new ReadBuffers(new LongReads(() => 0)), { received: all.receive }).attach(
    near,
    SocketHandle.of(near),
  )
  far.write('late')
  await all.done
  t.equal(text, 'earlylate')
})

await test('a stream that is no socket is read through its events', async t => {
  const [near, far] = duplexPair()
  let text = ''
  const all = readsUntil((bytes, length) => {
    text += bytes.toString('latin1', 0, length)
    return text === 'abc'
  })
  const inbox = new Inbox(new ReadBuffers(new LongReads(() => 0)), { received: all.receive })
  inbox.attach(near, SocketHandle.of(near))
  t.ok(inbox.lend(), 'each chunk has memory of its own')
  far.write('abc')
  await all.done
  inbox.pause()
  t.ok(near.isPaused())
  inbox.resume()
  t.notOk(near.isPaused())
})

await test('there is a limit to large buffers, and then to those of the size of the shared one', t => {
  const buffers = new ReadBuffers(new LongReads(() => 0))
  const taken: Buffer[] = []
  for (let buffer = buffers.take(); buffer !== undefined; buffer = buffers.take())
    taken.push(buffer)
  const sizes = taken.map(({ length }) => length)
  t.same(new Set(sizes.slice(0, 64)), new Set([256 * 1024]))
  t.same(new Set(sizes.slice(64)), new Set([buffers.shared.length]))
  t.equal(sizes.length, 64 + 256)
  for (const buffer of [taken[0], taken[64]] as Buffer[]) {
    buffers.give(buffer)
    t.equal(buffers.take(), buffer, 'used again')
    t.equal(buffers.take(), undefined)
    buffers.lose(buffer)
    const another = buffers.take() as Buffer
    t.ok(another !== buffer, 'one that is lost is not')
    buffers.give(another)
    buffers.find(buffer)
    t.ok(buffers.take() === buffer, 'until it is found')
  }
  buffers.shrink(true)
  buffers.give(taken[64] as Buffer)
  buffers.shrink(false)
  t.not(buffers.take(), taken[64], 'nor what was let go')
  t.end()
})

/** A handle whose reads the test makes. */
class FakeHandle {
  reading = false
  reader: HandleReader | undefined

  readInto(_buffer: Buffer, reader: HandleReader): void {
    this.reader = reader
  }

  start(): void {
    this.reading = true
  }

  stop(): void {
    this.reading = false
  }
}

const nextTurn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

await test('long reads have a part of each turn, and who comes behind it waits', async t => {
  let now = 0
  const buffers = new ReadBuffers(new LongReads(() => now))
  const { near } = await socketPair(t)
  const all = Array.from({ length: 20 }, () => {
    const handle = new FakeHandle()
    const inbox = new Inbox(buffers, { received: () => true })
    inbox.attach(near, handle as unknown as SocketHandle)
    return { handle, inbox }
  })
  const reading = (): number => all.filter(({ handle }) => handle.reading).length
  const read = (from: number, to: number, length = buffers.shared.length): void => {
    for (const { handle } of all.slice(from, to)) handle.reader?.take(length)
  }
  read(0, 1, 100)
  read(0, 5)
  now += 0.4
  read(0, 5)
  t.equal(reading(), 20, 'who is quick reads on')
  now += 0.2
  read(0, 20, 100)
  t.equal(reading(), 20, 'small reads are of no account')
  read(0, 20, 8 * 1024)
  t.equal(reading(), 0)
  // What its owner does meanwhile is not undone, and does not bring its turn nearer.
  all[0]?.inbox.pause()
  all[1]?.inbox.resume()
  all[2]?.inbox.close()
  t.equal(reading(), 0)
  await nextTurn()
  t.equal(reading(), 0, 'a turn for what others have sent meanwhile')
  await nextTurn()
  t.equal(reading(), 2, 'four were due, of which one is paused and one is closed')
  read(1, 2)
  now += 1
  read(3, 4)
  t.equal(reading(), 1, 'what comes behind the time of the turn')
  await nextTurn()
  t.equal(reading(), 1)
  await nextTurn()
  t.equal(reading(), 3, 'two more: the turn was longer than it should be')
  await nextTurn()
  await nextTurn()
  t.equal(reading(), 6, 'three more')
  for (let turn = 0; turn < 8; turn++) await nextTurn()
  t.equal(reading(), 18)
  all[0]?.inbox.resume()
  t.equal(reading(), 19)
})

await test('where others wait for theirs, the part of a turn is a shorter one', async t => {
  let now = 0
  const reads = new LongReads(() => now)
  const woken: string[] = []
  t.notOk(reads.crowded())
  now += 0.3
  t.notOk(reads.crowded(), 'one alone goes on')
  now += 0.3
  t.ok(reads.crowded())
  for (const name of ['a', 'b']) reads.rest({ nextTurn: () => woken.push(name) })
  for (const name of ['c', 'd', 'e', 'f', 'g', 'h', 'i'])
    reads.rest({ nextTurn: () => woken.push(name) })
  await nextTurn()
  t.same(woken, [])
  await nextTurn()
  t.same(woken, ['a', 'b', 'c', 'd'])
  t.notOk(reads.crowded())
  now += 0.1
  t.notOk(reads.crowded())
  now += 0.15
  t.ok(reads.crowded(), 'among many')
})

await test('one alone stands back for nobody, and a crowd for no more than one turn', async t => {
  const reads = new LongReads(() => 0)
  let woken = 0
  const count = { nextTurn: () => woken++ }
  reads.crowded()
  reads.rest(count)
  await nextTurn()
  t.equal(woken, 1)
  reads.crowded()
  reads.rest(count)
  reads.rest(count)
  await nextTurn()
  t.equal(woken, 1)
  // Somebody's first long read comes amid the turn that is for others: those who wait have waited.
  reads.crowded()
  await nextTurn()
  t.equal(woken, 3)
})

await test('memory that a write still needs when its connection is closed comes back with the end of the write', async t => {
  const { near, far } = await socketPair(t)
  const buffers = new ReadBuffers(new LongReads(() => 0))
  const lent = Promise.withResolvers<Buffer>()
  const inbox: Inbox = new Inbox(buffers, {
    received: bytes => {
      if (bytes !== buffers.shared && inbox.lend()) lent.resolve(bytes)
      return true
    },
  })
  inbox.attach(near, SocketHandle.of(near))
  far.write(Buffer.alloc(1024 * 1024))
  const memory = await lent.promise
  inbox.close()
  const meanwhile = buffers.take() as Buffer
  t.ok(meanwhile !== memory, 'not while the write may need it')
  inbox.returned()
  t.ok(buffers.take() === memory)
  inbox.returned()
  t.ok(buffers.take() !== memory, 'once')
})
