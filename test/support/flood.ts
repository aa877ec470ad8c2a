/**
 * A tenant that floods, in a process of its own: with its deployment, and with as many connections as it was told, each of
 * which asks again as soon as it has its answer. Says at its end what became of its calls.
 */
import net from 'node:net'

export interface FloodOrder {
  /** Where the proxy is. */
  readonly port: number
  readonly connections: number
  /** Calls that each connection sends ahead. */
  readonly ahead: number
  readonly ms: number
}

export interface FloodOutcome {
  readonly served: number
  readonly shed: number
  readonly others: number
  /** Of calls that were served, in ms. */
  readonly median: number
}

const REQUEST = 'GET / HTTP/1.1\r\nhost: noisy.test\r\n\r\n'
const ANSWER = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'
const HEAD_END = '\r\n\r\n'

/** Answers each request with the same, however they come; requests have no body. */
export function promptServer(): net.Server {
  return net.createServer({ noDelay: true }, socket => {
    let rest = ''
    socket.setEncoding('latin1')
    socket.on('error', () => {})
    socket.on('data', (chunk: string) => {
      const heads = (rest + chunk).split(HEAD_END)
      rest = heads.pop() ?? ''
      socket.write(ANSWER.repeat(heads.length))
    })
  })
}

if (process.send !== undefined && process.argv[1] === import.meta.filename) {
  const deployment = promptServer()
  deployment.listen(0, '127.0.0.1', () => {
    process.send?.({ port: (deployment.address() as net.AddressInfo).port })
  })
  process.on('message', (order: FloodOrder) => flood(order))
  process.on('disconnect', () => process.exit(0))
}

function flood({ port, connections, ahead, ms }: FloodOrder): void {
  const counts = { served: 0, shed: 0, others: 0 }
  const latencies: number[] = []
  const until = performance.now() + ms
  for (let index = 0; index < connections; index += 1) ask()
  setTimeout(() => {
    const median = latencies.toSorted((a, b) => a - b)[latencies.length >> 1] ?? 0
    process.send?.({ ...counts, median } satisfies FloodOutcome)
  }, ms)

  function ask(): void {
    const socket = net.connect({ port, host: '127.0.0.1', noDelay: true })
    const sent: number[] = []
    let rest = ''
    const send = (): void => {
      sent.push(performance.now())
      socket.write(REQUEST)
    }
    socket.setEncoding('latin1')
    socket.on('connect', () => {
      for (let call = 0; call < ahead; call += 1) send()
    })
    socket.on('data', (chunk: string) => {
      rest += chunk
      for (;;) {
        const head = rest.indexOf(HEAD_END)
        if (head < 0) return
        const length = Number(/content-length: (\d+)/i.exec(rest.slice(0, head))?.[1] ?? 0)
        const end = head + HEAD_END.length + length
        if (rest.length < end) return
        count(rest.slice(9, 12), performance.now() - (sent.shift() ?? 0))
        rest = rest.slice(end)
        if (performance.now() < until) send()
        else socket.destroy()
      }
    })
    socket.on('error', () => {})
  }

  function count(status: string, ms: number): void {
    if (status === '200') {
      counts.served += 1
      if (latencies.length < 1_000_000) latencies.push(ms)
    } else if (status === '503') counts.shed += 1
    else counts.others += 1
  }
}
