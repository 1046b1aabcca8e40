/** Prints a greeting, and how much memory it may take. */
public final class Greet {
    public static void main(String[] args) {
        long megabytes = Runtime.getRuntime().maxMemory() >> 20;
        System.out.println("Hello from Java, with " + megabytes + " MB");
    }
}
