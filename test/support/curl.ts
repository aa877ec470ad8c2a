/** Real curl, with the figures that it counts itself: inside TLS no relay can. */
import { type CommandResult, runCommand, skipWithout } from './program.ts'

/** For the `skip` of tests with curl: why they cannot run here, or false. */
export const WITHOUT_CURL: string | false = skipWithout({ curl: 'curl' })

/** Of one transfer. */
export interface CurlTransfer {
  readonly status: number
  /** Bytes of the request where it has no body: a small one curl counts into the head, a large one it does not. */
  readonly sent: number
  /** Bytes of the response: head and body. Where the body is chunked or compressed curl leaves framing out. */
  readonly received: number
  /** Connections that were made for it; 0 where one was there already. */
  readonly connects: number
  readonly body: string
}

/** Separates a body from the figures behind it; no body of a test holds it. */
const MARK = '\u0001'
const FIGURES = '%{http_code} %{size_request} %{size_header} %{size_download} %{num_connects}'

/** One curl with a transfer for each list of arguments, over one connection where it can; throws where it fails. */
export async function curl(
  transfers: readonly (readonly string[])[],
  input?: string | Buffer,
): Promise<CurlTransfer[]> {
  const common = ['--silent', '--show-error', '--noproxy', '*', '-w', `${MARK}${FIGURES}${MARK}`]
  const args = transfers.flatMap((transfer, i) => [
    ...(i === 0 ? [] : ['--next']),
    ...common,
    ...transfer,
  ])
  // Without the settings of the person who runs the tests.
  const result = await runCommand(
    ['curl', ['--disable', ...args]],
    input === undefined ? {} : { input },
  )
  return readTransfers(result, transfers.length)
}

function readTransfers({ code, stdout, stderr }: CommandResult, count: number): CurlTransfer[] {
  const parts = stdout.toString('latin1').split(MARK)
  if (code !== 0 || parts.length !== 2 * count + 1)
    throw new Error(`curl ended with ${code}: ${stderr}`)
  return Array.from({ length: count }, (_, i) => {
    const figures = parts[2 * i + 1] ?? ''
    const [status = 0, sent = 0, header = 0, download = 0, connects = 0] = figures
      .split(' ')
      .map(Number)
    return { status, sent, received: header + download, connects, body: parts[2 * i] ?? '' }
  })
}
