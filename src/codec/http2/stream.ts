/** One stream of a session (RFC 9113 §5.1): whose turn it is to speak, and how much may be said. */
import { DEFAULT_URGENCY } from './priority.ts'
import { ReceiveWindow } from './receive-window.ts'

export class Http2Stream<Owner> {
  readonly id: number
  /** Whoever it serves; the session never looks at it. */
  owner: Owner | undefined = undefined
  /** Whether the other end may still send, and whether we may. */
  remoteOpen = true
  localOpen = true
  /** A final header section has come, or was sent. */
  headersReceived = false
  headersSent = false
  /** Octets of DATA that we may send; below 0 where the other end has shrunk its windows. */
  sendWindow: number
  readonly receiveWindow: ReceiveWindow
  /** Octets of DATA that are still to come by its content-length; -1 where it says none. */
  expected = -1
  /** What comes back has no body, whatever its length says (HEAD). */
  bodiless = false
  /** It was asked to connect (CONNECT), and it is connected: then there is nothing on it but data (RFC 9113 §8.5). */
  connects = false
  tunnel = false
  /** RFC 9218. Of those who say nothing about it (as in gRPC), none may stop another: they take turns. */
  urgency = DEFAULT_URGENCY
  incremental = true
  turn = 0
  /**
   * Octets of its frames, their headers included, in both directions while it was open: HEADERS with their CONTINUATION,
   * DATA with its padding, RST_STREAM, WINDOW_UPDATE, PRIORITY.
   */
  received = 0
  sent = 0
  /** Somebody waits for a larger window. */
  blocked = false

  constructor(id: number, sendWindow: number, receiveWindow: number) {
    this.id = id
    this.sendWindow = sendWindow
    this.receiveWindow = new ReceiveWindow(receiveWindow)
  }

  get closed(): boolean {
    return !this.remoteOpen && !this.localOpen
  }
}
