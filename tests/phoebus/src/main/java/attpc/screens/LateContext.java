package attpc.screens;

import com.cosylab.epics.caj.CAJContext;
import gov.aps.jca.CAException;
import gov.aps.jca.Channel;
import gov.aps.jca.Context;
import gov.aps.jca.event.ConnectionListener;
import java.lang.reflect.Field;
import java.util.Properties;
import org.phoebus.pv.PV;
import org.phoebus.pv.PVPool;
import org.phoebus.pv.ca.JCAContext;
import org.phoebus.pv.ca.JCA_Preferences;

/**
 * Channel Access as a thread sees it that has to wait for the processor just after CAJ has begun to search: when it gets its
 * channel, the server may have answered already. On a busy machine this happens to some of many thousand PVs.
 */
final class LateContext extends CAJContext {
    private static final int LATE_MILLISECONDS = 200;

    @Override
    public Channel createChannel(final String name, final ConnectionListener listener, final short priority)
            throws CAException {
        final Channel made = super.createChannel(name, listener, priority);
        try {
            Thread.sleep(LATE_MILLISECONDS);
        } catch (final InterruptedException stopped) {
            Thread.currentThread().interrupt();
        }
        return made;
    }

    /** Gives a kind of context the settings of Phoebus: CAJ looks for them under the name of the class. */
    static void useSettingsOfPhoebus(final Class<? extends CAJContext> kind) {
        JCA_Preferences.getInstance(); // a context that is made before them would have other settings, for good
        final Properties properties = System.getProperties();
        for (final String name : properties.stringPropertyNames()) {
            if (name.startsWith(CAJContext.class.getName() + ".")) {
                final String setting = name.substring(CAJContext.class.getName().length());
                System.setProperty(kind.getName() + setting, properties.getProperty(name));
            }
        }
    }

    /** Connects to a PV that nothing else uses, as every part of Phoebus does it, and lets it go when it has a value. */
    static void connect(final String name) throws Exception {
        useSettingsOfPhoebus(LateContext.class);
        final JCAContext phoebus = JCAContext.getInstance();
        final Field used = JCAContext.class.getDeclaredField("context");
        used.setAccessible(true);
        final Context before = phoebus.getContext();
        final LateContext late = new LateContext();
        try {
            used.set(phoebus, late);
            final PV pv = PVPool.getPV(name);
            try {
                Jfx.until(name + " had no value", () -> PV.isDisconnected(pv.read()) ? null : true);
            } finally {
                PVPool.releasePV(pv);
            }
        } finally {
            used.set(phoebus, before);
            late.destroy();
        }
    }
}
