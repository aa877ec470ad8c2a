/**
 * Clients of all kinds that use the proxy without a break, over many short connections, so that a new worker gets its share;
 * when told to stop, each ends what it does in good order.
 */
import type { NetConnectOpts } from 'node:net'
import type { ConnectionOptions } from 'node:tls'
import { chunked } from '../cross-tenant/body-decoder.ts'
import type { TenantFixture } from '../cross-tenant/tenants.ts'
import { SeededRandom } from '../seeded-random.ts'
import { type Count, type Counts, keyOf } from './counts.ts'
import { LoadAnswers } from './load-answers.ts'
import { TUNNEL_MARK } from './load-deployment.ts'
import { LoadSocket } from './load-socket.ts'
import { callByStreams, type StreamKind } from './load-streams.ts'

export const OPERATIONS = [
  'keep',
  'pipeline',
  'post',
  'chunked',
  'download',
  'upgrade',
  'streams',
  'stream-download',
] as const
const KINDS = [...OPERATIONS, 'tunnel'] as const
type Kind = (typeof KINDS)[number]

const MAX_CALLS = 40
const MAX_PIPELINE = 12
const MAX_ROUNDS = 30
const MAX_BODY_BYTES = 30_000
const MAX_DOWNLOAD_BYTES = 300_000
const MAX_BLOCK_BYTES = 40_000
const MAX_PAUSE_MS = 4
/** Nobody listens: not so often that it keeps a start from its work. */
const AWAY_MS = 50
const FILLER = Buffer.alloc(MAX_BLOCK_BYTES, 'u')

/** Where clients connect. */
export interface Places {
  readonly public: NetConnectOpts
  readonly tls: NetConnectOpts
  /** By tenant. */
  readonly private: (tenant: TenantFixture) => NetConnectOpts
  readonly ca: string
}

/** One client on its way to one tenant. */
interface Client {
  readonly kind: Kind
  readonly tenant: TenantFixture
  readonly random: SeededRandom
}

export class Load {
  readonly #counts: Counts
  readonly #places: Places
  readonly #clients: Promise<unknown>
  #stopping = false
  readonly #underWay = new Map<Client, string>()

  /** A client of each kind for each tenant begins at once. */
  constructor(
    counts: Counts,
    places: Places,
    { tenants, seed }: { readonly tenants: readonly TenantFixture[]; readonly seed: number },
  ) {
    this.#counts = counts
    this.#places = places
    const clients = tenants.flatMap(tenant =>
      // HTTP/2 has no upgrades.
      KINDS.filter(kind => kind !== 'upgrade' || !tenant.http2).map(kind => ({ tenant, kind })),
    )
    this.#clients = Promise.all(
      clients.map(async (client, index) =>
        this.#run({ ...client, random: SeededRandom.fork(seed, index) }),
      ),
    )
  }

  /** What each client does, for the message that it does it too long. */
  get underWay(): string[] {
    return [...this.#underWay].map(([{ kind, tenant }, what]) => `${tenant.id} ${kind}: ${what}`)
  }

  /** Resolves when all clients have ended what they do. */
  async stop(): Promise<void> {
    this.#stopping = true
    await this.#clients
  }

  async #run(client: Client): Promise<void> {
    while (!this.#stopping) {
      this.#underWay.set(client, 'connects')
      const found = await this.#connect(client)
      if (found === undefined) await pause(AWAY_MS)
      else {
        this.#underWay.set(client, found.listener)
        await this.#visit(client, found.socket, found.listener)
      }
    }
    this.#underWay.delete(client)
  }

  async #connect({
    kind,
    tenant,
    random,
  }: Client): Promise<{ socket: LoadSocket; listener: string } | undefined> {
    const { ca } = this.#places
    const secure = random.chance(0.3)
    // A tunnel is for whoever the certificate or the address says; a call says it by its key.
    const proof = kind === 'tunnel' ? { ca, ...tenant.certificate } : { ca }
    const plain = kind === 'tunnel' ? 'private' : 'public'
    const protocols = isStreams(kind) ? { ALPNProtocols: ['h2'] } : {}
    const where: NetConnectOpts & ConnectionOptions = secure
      ? {
          ...this.#places.tls,
          ...proof,
          ...protocols,
          servername: 'localhost',
          checkServerIdentity: () => undefined,
        }
      : plain === 'private'
        ? this.#places.private(tenant)
        : this.#places.public
    const socket = await LoadSocket.open(where)
    return socket && { socket, listener: secure ? 'tls' : plain }
  }

  async #visit(client: Client, socket: LoadSocket, listener: string): Promise<void> {
    const { kind } = client
    const count = this.#counts.at(keyOf(client.tenant.id, kind, listener))
    if (isStreams(kind)) {
      const [counts, stopping] = [this.#counts, () => this.#stopping]
      await callByStreams(socket, { ...client, kind, listener, counts, stopping })
    } else if (client.kind === 'tunnel')
      await this.#tunnel(client, socket, { count, letter: listener.slice(0, 1) })
    else await this.#calls(client, socket, { count, listener })
    await socket.end()
  }

  async #calls(
    client: Client,
    socket: LoadSocket,
    { count, listener }: { count: Count; listener: string },
  ): Promise<void> {
    const { kind, random } = client
    const answers = new LoadAnswers(this.#counts)
    socket.onData(chunk => answers.take(chunk))
    for (let calls = random.between(1, MAX_CALLS); calls > 0 && !this.#stopping; calls--) {
      const together = kind === 'pipeline' ? random.between(2, MAX_PIPELINE) : 1
      const requests = Array.from({ length: together }, () => request(client, listener))
      for (const { length } of requests) answers.expect({ count, bytes: length })
      send(socket, count, Buffer.concat(requests))
      if (!(await socket.until(() => answers.missing === 0 || answers.upgraded))) break
      if (answers.upgraded) {
        // It is a call from here on, however its stream ends.
        count.received++
        await this.#echo(client, socket, count)
        break
      }
      await pause(random.below(MAX_PAUSE_MS))
    }
    answers.end()
  }

  async #tunnel(
    client: Client,
    socket: LoadSocket,
    { count, letter }: { count: Count; letter: string },
  ): Promise<void> {
    const mark = Buffer.from(`${TUNNEL_MARK}${letter}`)
    const goal = count.got + mark.length
    socket.onData(chunk => {
      count.got += chunk.length
    })
    send(socket, count, mark)
    if (await socket.until(() => count.got >= goal)) await this.#echo(client, socket, count)
  }

  /** Blocks of any size, each when the last one is back. */
  async #echo({ random }: Client, socket: LoadSocket, count: Count): Promise<void> {
    let back = count.got
    for (let rounds = random.between(1, MAX_ROUNDS); rounds > 0 && !this.#stopping; rounds--) {
      const size = random.between(1, MAX_BLOCK_BYTES)
      send(socket, count, FILLER.subarray(0, size))
      back += size
      if (!(await socket.until(() => count.got >= back))) return
      await pause(random.below(MAX_PAUSE_MS))
    }
  }
}

function isStreams(kind: Kind): kind is StreamKind {
  return kind === 'streams' || kind === 'stream-download'
}

function send(socket: LoadSocket, count: Count, bytes: Buffer): void {
  count.sent += bytes.length
  socket.write(bytes)
}

function request({ kind, tenant, random }: Client, listener: string): Buffer {
  const size = random.below(kind === 'download' ? MAX_DOWNLOAD_BYTES : MAX_BODY_BYTES / 10)
  const head = (method: string, rest: string): Buffer =>
    Buffer.from(
      `${method} /${kind}/${listener}/${size} HTTP/1.1\r\nhost: example.com\r\nx-api-key: ${tenant.apiKey}\r\n${rest}\r\n`,
    )
  const body = FILLER.subarray(0, random.below(MAX_BODY_BYTES))
  switch (kind) {
    case 'post':
      return Buffer.concat([head('POST', `content-length: ${body.length}\r\n`), body])
    case 'chunked':
      return Buffer.concat([
        head('POST', 'transfer-encoding: chunked\r\n'),
        chunked(body, random.between(1_000, 9_000)),
      ])
    case 'upgrade':
      return head('GET', 'connection: upgrade\r\nupgrade: echo\r\n')
    case 'keep':
    case 'pipeline':
    case 'download':
    case 'tunnel':
    case 'streams':
    case 'stream-download':
      return head('GET', '')
  }
}

async function pause(ms: number): Promise<void> {
  if (ms > 0) await new Promise(resolve => setTimeout(resolve, ms))
}
