package attpc.screens;

import com.cosylab.epics.caj.CAJContext;
import com.cosylab.epics.caj.impl.reactor.Reactor;
import com.cosylab.epics.caj.impl.reactor.ReactorHandler;
import gov.aps.jca.CAException;
import gov.aps.jca.Channel;
import java.io.IOException;
import java.nio.channels.ClosedChannelException;
import java.nio.channels.SelectableChannel;
import java.nio.channels.SelectionKey;
import java.nio.channels.Selector;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * CAJ's reactor as a thread sees it that has to wait for the processor at the worst moment.
 *
 * <p>CAJ handles what a server sent in one thread while the next one already selects and cancels the keys of connections
 * that were closed. The first asks its key whether it is valid and, if so, whether it can be read, and again whether it is
 * valid and can be written ({@code CATransport.handleEvent}). A key that is cancelled between the two questions answers the
 * second one with an exception, which the reactor logs.
 */
final class LateReactor extends Reactor {
    private final CountDownLatch asked = new CountDownLatch(1);
    private volatile boolean late;

    private LateReactor() throws IOException {
    }

    /** Reads a PV, with CAJ alone, and closes the connection, on which there is no other, while the value is handled. */
    static void close(final String name) throws Exception {
        LateContext.useSettingsOfPhoebus(Context.class);
        final Context context = new Context();
        try {
            final Channel channel = context.createChannel(name);
            Jfx.until(name + " is not connected", () ->
                    channel.getConnectionState() == Channel.ConnectionState.CONNECTED ? true : null);
            final LateReactor reactor = (LateReactor) context.getReactor();
            reactor.late = true;
            channel.get(1, value -> { });
            context.flushIO();
            if (!reactor.asked.await(Jfx.PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                throw new IllegalStateException(name + " has no value");
            }
            channel.destroy();
        } finally {
            context.destroy();
        }
    }

    @Override
    public SelectionKey register(final SelectableChannel channel, final int operations, final ReactorHandler handler)
            throws ClosedChannelException {
        return super.register(channel, operations, key -> handler.handleEvent(new LateKey(key)));
    }

    @Override
    public void disableSelectionKey(final SelectionKey key) {
        super.disableSelectionKey(((LateKey) key).key);
        ((LateKey) key).handled = true;
    }

    @Override
    public void enableSelectionKey(final SelectionKey key) {
        super.enableSelectionKey(((LateKey) key).key);
    }

    /** A context with this reactor in place of its own. */
    private static final class Context extends CAJContext {
        private Context() throws CAException {
        }

        /** The first call is that of the initialization, when nothing is registered yet. */
        @Override
        public Reactor getReactor() {
            if (!(reactor instanceof LateReactor)) {
                reactor.shutdown();
                try {
                    reactor = new LateReactor();
                } catch (final IOException problem) {
                    throw new IllegalStateException(problem);
                }
                getLeaderFollowersThreadPool().promoteLeader(reactor::process);
            }
            return reactor;
        }
    }

    /** A key of which the thread that handles it gets its answer when it has been cancelled. */
    private final class LateKey extends SelectionKey {
        private final SelectionKey key;
        private boolean handled;

        private LateKey(final SelectionKey key) {
            this.key = key;
        }

        @Override
        public boolean isValid() {
            final boolean valid = key.isValid();
            if (valid && handled && late && key.channel() instanceof java.nio.channels.SocketChannel) {
                asked.countDown();
                awaitCancelled();
            }
            return valid;
        }

        private void awaitCancelled() {
            try {
                Jfx.until("the connection was not closed", () -> key.isValid() ? null : true);
            } catch (final Exception problem) {
                throw new IllegalStateException(problem);
            }
        }

        @Override
        public SelectableChannel channel() {
            return key.channel();
        }

        @Override
        public Selector selector() {
            return key.selector();
        }

        @Override
        public void cancel() {
            key.cancel();
        }

        @Override
        public int interestOps() {
            return key.interestOps();
        }

        @Override
        public SelectionKey interestOps(final int operations) {
            return key.interestOps(operations);
        }

        @Override
        public int readyOps() {
            return key.readyOps();
        }
    }
}
