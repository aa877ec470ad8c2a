/** One gibibyte after the other through one connection; byte for byte in number, by sample in content. */
import { uploadAnswer } from '../deployments/deployment.ts'
import { parseAnswerHead, WrongAnswer } from '../harness/answer.ts'
import { Caller, headOf, openSocket } from '../harness/caller.ts'
import { BULK_BYTES, BULK_PATH, makePattern, patternFault } from '../harness/pattern.ts'
import type { Work, WorkTenant } from '../harness/work.ts'
import type { Load, Outcome } from './load.ts'

const BLOCK_BYTES = 256 * 1024
/** Blocks on their way to the proxy. */
const BLOCKS_UNDER_WAY = 4
const STALLED_MS = 10_000
const MAX_HEAD_CHARS = 65_536

/** GET, until the time is over. Through a tunnel, too: the deployment speaks HTTP in any case. */
export const download: Load = async ({ work, port, seconds }) => {
  const transfer = new Transfer()
  const buffer = Buffer.allocUnsafeSlow(BLOCK_BYTES)
  const onread = {
    buffer,
    callback: (length: number): boolean => {
      transfer.push(buffer.subarray(0, length))
      return true
    },
  }
  const socket = await openSocket(work, port, { onread })
  // TLS has no `onread`.
  if (work.tls) socket.on('data', (piece: Buffer) => transfer.push(piece))
  socket.on('error', () => {})
  socket.on('close', () => transfer.fail('the connection was closed'))
  socket.setTimeout(STALLED_MS, () => transfer.fail('nothing came for ten seconds'))
  try {
    return await repeat(work, seconds, async ({ credential }) => {
      const arrived = transfer.next()
      socket.write(headOf(work, credential, `GET ${BULK_PATH}`), 'latin1')
      await arrived
    })
  } finally {
    socket.destroy()
  }
}

/** POST, until the time is over. The deployment looks at what reaches it, and says what it saw. */
export const upload: Load = async ({ work, port, seconds }) => {
  // It takes a while, and a connection that says nothing for half a second is taken for one on which the server speaks first.
  const pattern = makePattern()
  const caller = await Caller.open(work, port)
  try {
    return await repeat(work, seconds, async ({ credential, id }) => {
      const head = `Content-Length: ${BULK_BYTES}\r\n`
      const answered = caller.ask(headOf(work, credential, `POST ${BULK_PATH}`, head))
      const [{ status, body }] = await Promise.all([answered, sendPattern(caller, pattern)])
      if (status !== 200 || body !== uploadAnswer(id, BULK_BYTES))
        throw new WrongAnswer(`an upload as ${id} got ${status} ${body.slice(0, 200)}`)
    })
  } finally {
    await caller.close()
  }
}

/** Transfers, each as the next tenant, until the time is over. */
async function repeat(
  work: Work,
  seconds: number,
  transferAs: (tenant: WorkTenant) => Promise<void>,
): Promise<Outcome> {
  const started = performance.now()
  let done = 0
  do {
    await transferAs(work.tenants[done % work.tenants.length] as WorkTenant)
    done += 1
  } while (performance.now() - started < seconds * 1_000)
  return {
    units: (done * BULK_BYTES) / 2 ** 30,
    seconds: (performance.now() - started) / 1_000,
    calls: work.field === '' ? 0 : done,
    open: 0,
    bytes: done * BULK_BYTES,
  }
}

async function sendPattern(caller: Caller, pattern: Buffer): Promise<void> {
  const underWay: Promise<void>[] = []
  for (let offset = 0; offset < BULK_BYTES; offset += BLOCK_BYTES) {
    if (underWay.length === BLOCKS_UNDER_WAY) await underWay.shift()
    const at = offset % pattern.length
    underWay.push(caller.send(pattern.subarray(at, at + BLOCK_BYTES)))
  }
  await Promise.all(underWay)
}

/** What arrives of one answer after the other: its head, and a body that is looked at as it comes. */
class Transfer {
  #arrival = Promise.withResolvers<void>()
  #head = ''
  #inBody = false
  #received = 0
  #fault: string | undefined

  /** Fulfilled when the next answer has arrived; rejected where it is wrong. */
  async next(): Promise<void> {
    this.#arrival = Promise.withResolvers()
    this.#head = ''
    this.#inBody = false
    this.#received = 0
    if (this.#fault !== undefined) this.fail(this.#fault)
    return this.#arrival.promise
  }

  push(piece: Buffer): void {
    if (this.#inBody) this.#body(piece)
    else this.#readHead(piece)
  }

  fail(reason: string): void {
    this.#fault ??= reason
    const error = new WrongAnswer(`${reason} after ${this.#received} bytes of a body`)
    this.#arrival.promise.catch(() => {}) // between two answers nobody waits
    this.#arrival.reject(error)
  }

  #readHead(piece: Buffer): void {
    const before = this.#head.length
    this.#head += piece.toString('latin1')
    const end = this.#head.indexOf('\r\n\r\n')
    if (end < 0) {
      if (this.#head.length > MAX_HEAD_CHARS) this.fail('a head without end')
      return
    }
    try {
      const { status, length } = parseAnswerHead(this.#head.slice(0, end))
      if (status !== 200 || length !== BULK_BYTES) this.fail(`status ${status}, length ${length}`)
    } catch (error) {
      this.fail(String(error))
    }
    this.#inBody = true
    this.#body(piece.subarray(end + 4 - before))
  }

  #body(piece: Buffer): void {
    const fault = patternFault(piece, this.#received)
    if (fault !== undefined) this.fail(fault)
    this.#received += piece.length
    if (this.#received > BULK_BYTES) this.fail('bytes behind the answer')
    if (this.#received === BULK_BYTES) this.#arrival.resolve()
  }
}
